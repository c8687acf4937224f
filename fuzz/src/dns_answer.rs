//! A packet as the answer of a name server.

use punctual_net::rig;

/// The first byte says which family was asked for, over what, and whether id and question are made right.
pub fn run(data: &[u8]) {
    let Some((how, packet)) = data.split_first() else { return };
    rig::judge_answer(packet, how & 1 != 0, how & 2 != 0, how & 4 != 0);
}
