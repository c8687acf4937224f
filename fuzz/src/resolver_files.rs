//! The files that say how names are resolved.

use punctual_net::rig;

/// The first byte says which file it is.
pub fn run(data: &[u8]) {
    let Some((which, text)) = data.split_first() else { return };
    // As they are read: what is not UTF-8 is replaced.
    let text = String::from_utf8_lossy(text);
    match which % 3 {
        0 => rig::read_resolv_conf(&text),
        1 => rig::read_nsswitch(&text),
        _ => rig::read_hosts(&text),
    }
}
