//! When a connection is encrypted, and what may be said on a connection that is not.

/// What was asked for with `--tls`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Nothing: STARTTLS if it is offered, but not over loopback, where a certificate is rarely anything but made up.
    Unsaid,
    Starttls,
    Direct,
    No,
}

/// What to do on a plaintext stream whose features have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Starttls,
    GoOn,
    /// Without TLS, nothing is to be said.
    GiveUp,
}

impl Tls {
    pub fn step(self, starttls_offered: bool, loopback: bool) -> Step {
        match (self, starttls_offered) {
            (Self::Starttls, true) => Step::Starttls,
            (Self::Unsaid, true) if !loopback => Step::Starttls,
            (Self::Starttls | Self::Direct, _) => Step::GiveUp,
            (Self::Unsaid | Self::No, _) => Step::GoOn,
        }
    }
}

/// SASL PLAIN shows the password to whoever listens.
pub fn may_send_password(encrypted: bool, loopback: bool) -> bool {
    encrypted || loopback
}
