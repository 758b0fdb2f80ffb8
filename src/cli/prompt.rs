//! Reads secrets from standard input; on a terminal, asks for them and does not show them.

use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::AsFd;

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::{Error, encoding};

/// The longest line that a terminal passes on.
const MAX_LINE: usize = 4096;
/// Control-C.
const INTERRUPT: u8 = 3;

/// Reads all of standard input, or one line without echo if it is a terminal.
pub fn secret(what: &str) -> Result<Zeroizing<Vec<u8>>, Error> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return encoding::bytes("-");
    }
    let entered = ask(stdin.as_fd(), what);
    entered.map_err(|error| Error::Input { what: "standard input", reason: error.to_string() })
}

fn ask(terminal: impl AsFd, what: &str) -> io::Result<Zeroizing<Vec<u8>>> {
    let _hidden = HiddenInput::of(&terminal)?;
    write!(io::stderr(), "{what} (hidden while you type): ")?;
    let mut line = Zeroizing::new(vec![0; MAX_LINE]);
    let length = rustix::io::read(&terminal, &mut line[..])?;
    line.truncate(length);
    if line.last() == Some(&INTERRUPT) {
        writeln!(io::stderr())?;
        return Err(io::Error::new(io::ErrorKind::Interrupted, "interrupted"));
    }
    Ok(line)
}

/// Switches a terminal's echo off, and on again when this value is dropped.
struct HiddenInput<'a, T: AsFd> {
    terminal: &'a T,
    before: Termios,
}

impl<'a, T: AsFd> HiddenInput<'a, T> {
    fn of(terminal: &'a T) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut quiet = before.clone();
        // Control-C must end the line and not the process, because that would leave the terminal without echo.
        quiet.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG);
        quiet.special_codes[SpecialCodeIndex::VEOL] = INTERRUPT;
        // The end of the line is still echoed, so that later output begins on a new line.
        quiet.local_modes.insert(LocalModes::ECHONL);
        // `Drain` and not `Flush`, which would drop what the user typed before the prompt.
        tcsetattr(terminal, OptionalActions::Drain, &quiet)?;
        Ok(Self { terminal, before })
    }
}

impl<T: AsFd> Drop for HiddenInput<'_, T> {
    fn drop(&mut self) {
        let _ = tcsetattr(self.terminal, OptionalActions::Drain, &self.before);
    }
}
