//! Binding a port, with an error that says which variable to set.

use std::{io, net::SocketAddr};

use tokio::net::TcpListener;

use crate::env::Var;

/// Why a port cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {addr}: {source}; set {variable} to another address")]
pub struct ListenError {
    /// The address wanted.
    pub addr: SocketAddr,
    /// The variable that names it.
    pub variable: &'static str,
    /// Why not.
    pub source: io::Error,
}

/// Binds `addr`, which `variable` names. Early, so that a taken port is found before anything else is started.
///
/// # Errors
/// [`ListenError`].
pub async fn listen(addr: SocketAddr, variable: &Var) -> Result<TcpListener, ListenError> {
    TcpListener::bind(addr).await.map_err(|source| ListenError { addr, variable: variable.name, source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Unit;

    const ADDR: Var = Var::new("RALLY_TEST_ADDR", Unit::Address, "Where.");

    #[tokio::test]
    async fn a_taken_port_is_named_with_its_variable() {
        let first = listen(SocketAddr::from(([127, 0, 0, 1], 0)), &ADDR).await.expect("a free port");
        let addr = first.local_addr().expect("an address");
        let message = listen(addr, &ADDR).await.expect_err("taken").to_string();
        assert!(message.contains(&addr.to_string()) && message.contains("RALLY_TEST_ADDR"), "{message}");
    }
}
