//! Names, addresses and URLs, as users and servers write them.

use punctual_net::{Target, UnixAddress, rig};

use crate::input::Input;

/// The first byte says what it is; of a redirect the next one says the status.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let which = input.byte() % 5;
    if which == 4 {
        let status = 300 + u16::from(input.byte()) % 10;
        return rig::follow_redirect(status, input.rest());
    }
    let bytes = input.rest();
    if which == 3 {
        let shown = UnixAddress::from_abstract_name(bytes).to_string();
        return assert!(!shown.contains(char::is_control), "{shown:?}");
    }
    let Ok(text) = str::from_utf8(bytes) else { return };
    match which {
        0 => target(text),
        1 => rig::read_name(text),
        _ => rig::read_url(text),
    }
}

fn target(text: &str) {
    let (host, port) = text.split_once(' ').unwrap_or((text, "80"));
    for target in [Target::from(text), Target::from((host, port.parse().unwrap_or(0)))] {
        let shown = target.to_string();
        assert!(!shown.contains(char::is_control), "{shown:?}");
        assert!(shown.chars().count() <= 1024, "{} characters", shown.len());
    }
}
