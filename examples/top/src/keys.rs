//! The keyboard, as events of the loop.
//!
//! The bytes are read here and not by crossterm, whose reader has a poll of its own: of two things that come at the
//! same time, as a key and a new size, it forgets one.

use std::fs::File;
use std::io::{self, IsTerminal, Read, stdin};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use punctual::reactor::{AsyncFd, Interest};
use punctual::timeout;

use crate::live::News;
use crate::mailbox::Mailbox;
use crate::model::{Key, Message};

const ESCAPE: u8 = 0x1b;

/// How long the rest of a key's sequence may take after its first byte, before that is the key Escape.
const SEQUENCE: Duration = Duration::from_millis(50);

/// Tells of every key that means something, until the terminal is gone.
pub(crate) async fn tell(mailbox: Mailbox<News>) {
    let Err(error) = tell_until_gone(&mailbox).await;
    mailbox.put(Err(format!("no terminal to read keys from: {error}")));
}

async fn tell_until_gone(mailbox: &Mailbox<News>) -> io::Result<std::convert::Infallible> {
    // Its flags are left alone, for standard output is often the same terminal: it is read when there is something.
    let terminal =
        AsyncFd::as_it_is(File::from(terminal()?), Interest::READABLE).map_err(io::Error::other)?;
    let mut pending = Vec::new();
    loop {
        let more = terminal.readable();
        match pending.is_empty() {
            true => more.await.map_err(io::Error::other)?,
            false => match timeout(SEQUENCE, more).await {
                Ok(more) => more.map_err(io::Error::other)?,
                Err(_) => {
                    pending.clear();
                    mailbox.put(Ok(Message::Key(Key::Quit)));
                    continue;
                }
            },
        }
        let mut bytes = [0; 256];
        let read = match terminal.get_ref() {
            Some(file) => (&*file).read(&mut bytes)?,
            None => 0,
        };
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        pending.extend(&bytes[..read]);
        for key in keys(&mut pending) {
            mailbox.put(Ok(Message::Key(key)));
        }
    }
}

fn terminal() -> io::Result<OwnedFd> {
    match stdin().is_terminal() {
        true => stdin().as_fd().try_clone_to_owned(),
        false => Ok(File::options().read(true).write(true).open("/dev/tty")?.into()),
    }
}

/// The keys that `bytes` begin with. An Escape at the end stays in them: it may be the first byte of more.
fn keys(bytes: &mut Vec<u8>) -> Vec<Key> {
    let mut keys = Vec::new();
    let mut rest = &bytes[..];
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        let key = match (*first, after) {
            (ESCAPE, []) => {
                *bytes = vec![ESCAPE];
                return keys;
            }
            (ESCAPE, [b'[' | b'O', sequence @ ..]) => {
                let end = sequence.iter().position(|byte| (0x40..=0x7e).contains(byte));
                let Some(end) = end else { break };
                rest = &sequence[end + 1..];
                of_sequence(&sequence[..=end])
            }
            (byte, _) => of_byte(byte),
        };
        keys.extend(key);
    }
    bytes.clear();
    keys
}

fn of_byte(byte: u8) -> Option<Key> {
    Some(match byte {
        // Ctrl-C, which a terminal in raw mode makes no signal of.
        b'q' | 0x03 | ESCAPE => Key::Quit,
        b'p' => Key::Pause,
        b'r' => Key::Reset,
        b'l' => Key::Last,
        b'\t' => Key::NextList,
        _ => return None,
    })
}

/// What comes after `ESC [`, or in some modes after `ESC O` (xterm's control sequences).
fn of_sequence(sequence: &[u8]) -> Option<Key> {
    Some(match sequence {
        b"A" => Key::Up,
        b"B" => Key::Down,
        b"H" | b"1~" => Key::Top,
        b"Z" => Key::PreviousList,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_what_they_mean() {
        let read = |text: &str| {
            let mut bytes = text.as_bytes().to_vec();
            (keys(&mut bytes), bytes)
        };
        let all = |text: &str| {
            let (keys, rest) = read(text);
            assert!(rest.is_empty(), "{text:?} leaves {rest:?}");
            keys
        };
        assert_eq!(
            all("qp\trl\u{3}"),
            [Key::Quit, Key::Pause, Key::NextList, Key::Reset, Key::Last, Key::Quit]
        );
        assert_eq!(
            all("\u{1b}[A\u{1b}OB\u{1b}[Z\u{1b}[1~\u{1b}[H"),
            [Key::Up, Key::Down, Key::PreviousList, Key::Top, Key::Top]
        );
        assert_eq!(
            all("\u{1b}[1;5Cx\u{1b}[200~größer"),
            [Key::Reset, Key::Reset],
            "what means nothing is passed over"
        );
        assert_eq!(all("\u{1b}[12;"), [], "a sequence that was cut off");
        assert_eq!(all("\u{1b}x"), [Key::Quit]);
        assert_eq!(read("p\u{1b}"), (vec![Key::Pause], vec![ESCAPE]), "more may come");
    }
}
