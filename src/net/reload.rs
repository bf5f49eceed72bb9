//! Reloads of certificates, as a state machine without I/O.
//!
//! Files that cannot be used leave the certificates of before in force. They are doubted at first, since a certificate and its key may be read
//! while they are being replaced, and refused if they are still the same at the next look.

use super::server::{Files, Seen, Tls};

/// Follows the contents of the files.
#[derive(Debug)]
pub struct Reload {
    tls: Tls,
    /// The contents that could not be used at the last look.
    unusable: Option<(Seen, Told)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    NotYet,
    Already,
}

/// The result of a look at the files.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing is new.
    Same,
    /// Other certificates are in force.
    Replaced,
    /// The files cannot be used, perhaps because they are being written: look again soon.
    Doubted,
    /// The files cannot be used. It is told once.
    Refused(String),
}

impl Reload {
    /// Replaces the certificates of a server.
    pub fn new(tls: Tls) -> Self {
        Self { tls, unusable: None }
    }

    /// Takes the contents of the files as they are now, or the reason why they cannot be read.
    pub fn step(&mut self, read: Result<Files, String>) -> Step {
        let seen = Seen::of(&read);
        if seen == self.tls.in_force().seen {
            self.unusable = None;
            self.tls.refuse(None);
            return Step::Same;
        }
        if self.unusable == Some((seen, Told::Already)) {
            return Step::Same;
        }
        let Err(why) = read.and_then(|files| self.tls.replace(files)) else {
            self.unusable = None;
            return Step::Replaced;
        };
        if self.unusable.is_some_and(|(before, _)| before == seen) {
            self.unusable = Some((seen, Told::Already));
            self.tls.refuse(Some(why.clone()));
            return Step::Refused(why);
        }
        self.unusable = Some((seen, Told::NotYet));
        Step::Doubted
    }
}
