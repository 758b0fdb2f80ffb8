//! Secrets from standard input: asked for, and not shown, where that is a terminal.

use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::AsFd;

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::{Error, encoding};

/// The longest line that a terminal gives.
const MAX_LINE: usize = 4096;
/// Control-C.
const INTERRUPT: u8 = 3;

/// Reads all of standard input; of a terminal one line, without echo.
pub fn secret(what: &str) -> Result<Zeroizing<Vec<u8>>, Error> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return encoding::bytes("-");
    }
    let asked = ask(stdin.as_fd(), what);
    asked.map_err(|error| Error::Input { what: "standard input", reason: error.to_string() })
}

fn ask(terminal: impl AsFd, what: &str) -> io::Result<Zeroizing<Vec<u8>>> {
    let _quiet = Quiet::of(&terminal)?;
    write!(io::stderr(), "{what} (it is not shown): ")?;
    let mut line = Zeroizing::new(vec![0; MAX_LINE]);
    let length = rustix::io::read(&terminal, &mut line[..])?;
    line.truncate(length);
    if line.last() == Some(&INTERRUPT) {
        writeln!(io::stderr())?;
        return Err(io::Error::new(io::ErrorKind::Interrupted, "interrupted"));
    }
    Ok(line)
}

/// A terminal without echo; with it again once this is dropped.
struct Quiet<'a, T: AsFd> {
    terminal: &'a T,
    before: Termios,
}

impl<'a, T: AsFd> Quiet<'a, T> {
    fn of(terminal: &'a T) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut quiet = before.clone();
        // Control-C ends the line in place of the process, which would leave the terminal without echo.
        quiet.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG);
        quiet.special_codes[SpecialCodeIndex::VEOL] = INTERRUPT;
        // The end of the line is shown all the same, so that what follows begins on one of its own.
        quiet.local_modes.insert(LocalModes::ECHONL);
        // What was typed before the question was asked is shown already, and kept.
        tcsetattr(terminal, OptionalActions::Drain, &quiet)?;
        Ok(Self { terminal, before })
    }
}

impl<T: AsFd> Drop for Quiet<'_, T> {
    fn drop(&mut self) {
        let _ = tcsetattr(self.terminal, OptionalActions::Drain, &self.before);
    }
}
