//! What asks this process to end.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Which signal came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// SIGTERM: an orchestrator or `kill`.
    Terminated,
    /// SIGINT: Ctrl-C.
    Interrupted,
}

/// Listens for SIGTERM and SIGINT. From its creation on they no longer end the process by themselves.
#[derive(Debug)]
pub struct Endings {
    term: Signal,
    int: Signal,
}

impl Endings {
    /// Starts listening; call it before anything is worth draining.
    ///
    /// # Errors
    /// When the process may not handle signals.
    pub fn listen() -> io::Result<Self> {
        Ok(Self { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next one. The first asks for a drain; what a second one means is the caller's to say.
    pub async fn next(&mut self) -> Ending {
        tokio::select! {
            _ = self.term.recv() => Ending::Terminated,
            _ = self.int.recv() => Ending::Interrupted,
        }
    }
}
