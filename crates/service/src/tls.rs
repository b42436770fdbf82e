//! TLS towards Redis and Postgres: whom a node trusts, and how it proves itself.
//!
//! Contract: files are read with the rest of the configuration, so that one that is missing or of the wrong kind is a
//! fault like another. Certificates are always verified, and so are the names in them: there is no variable that turns
//! this off. Without an authority of one's own, those that the machine trusts are trusted.

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

use crate::env::{Env, Var};

/// The variables of one server's TLS, each the path of a PEM file.
#[derive(Clone, Copy, Debug)]
pub struct TlsVars {
    /// The authorities that sign the server's certificate.
    pub ca: Var,
    /// Our certificate, for servers that ask for one, with those between it and its authority.
    pub cert: Var,
    /// The key of that certificate.
    pub key: Var,
}

/// Why TLS cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// This machine trusts nobody, and no authority was given.
    #[error("this machine has no certificates of authorities: set {0} to a file of them")]
    NoRoots(&'static str),
    /// The certificate and its key, or what the library supports.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

/// What the files hold.
#[derive(Debug)]
pub struct TlsFiles {
    ca_var: &'static str,
    authorities: Option<RootCertStore>,
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

impl TlsFiles {
    /// Reads the files that are named. `tls` says whether the server's URL asks for TLS: files without it are a fault,
    /// since whoever names them believes that the connection is protected.
    pub fn read(env: &mut Env<'_>, vars: &TlsVars, tls: bool) -> Option<Self> {
        let (ca, cert, key) = (env.file(&vars.ca), env.file(&vars.cert), env.file(&vars.key));
        let (ca, cert, key) = (ca?, cert?, key?);
        for (var, text) in [(&vars.ca, &ca), (&vars.cert, &cert), (&vars.key, &key)] {
            env.check(tls || text.is_none(), var, "is set, but the URL does not ask for TLS");
        }
        let authorities = match ca.map(|text| authorities(&text)) {
            None => None,
            Some(Ok(roots)) => Some(roots),
            Some(Err(fault)) => {
                env.check(false, &vars.ca, &fault);
                return None;
            }
        };
        let identity = match (cert, key) {
            (None, None) => None,
            (Some(cert), Some(key)) => match (chain(&cert), PrivateKeyDer::from_pem_slice(key.as_bytes())) {
                (Ok(chain), Ok(key)) => Some((chain, key)),
                (cert, key) => {
                    if let Err(fault) = cert {
                        env.check(false, &vars.cert, &fault);
                    }
                    // Without what the library says of it, which may repeat a part of it.
                    env.check(key.is_ok(), &vars.key, "names a file that holds no private key in PEM");
                    return None;
                }
            },
            (cert, _) => {
                let missing = if cert.is_some() { &vars.key } else { &vars.cert };
                env.check(false, missing, "is not set: a certificate and its key go together");
                return None;
            }
        };
        Some(Self { ca_var: vars.ca.name, authorities, identity })
    }

    /// How to connect.
    ///
    /// # Errors
    /// Nobody is trusted, or the certificate and its key do not fit.
    pub fn client(self) -> Result<Arc<ClientConfig>, TlsError> {
        let roots = match self.authorities {
            Some(roots) => roots,
            None => {
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                if roots.is_empty() {
                    return Err(TlsError::NoRoots(self.ca_var));
                }
                roots
            }
        };
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        Ok(Arc::new(match self.identity {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key)?,
            None => builder.with_no_client_auth(),
        }))
    }
}

fn chain(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    chain
        .ok()
        .filter(|chain| !chain.is_empty())
        .ok_or_else(|| "names a file that holds no certificate in PEM".to_owned())
}

fn authorities(pem: &str) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in chain(pem)? {
        roots
            .add(certificate)
            .map_err(|error| format!("names a file with a certificate that is no authority's: {error}"))?;
    }
    Ok(roots)
}

/// What to do about a failed connection, by what the library said of it, where the reason lies in TLS.
pub fn advice_on(said: &str) -> Option<&'static str> {
    // The library's words for rejected certificates, and for what comes from who does not speak TLS.
    const ADVICE: &[(&[&str], &str)] = &[
        (
            &["UnknownIssuer", "BadSignature"],
            "nobody whom this node trusts has signed its certificate: name the file of its authority in the ..._CA_FILE variable",
        ),
        (
            &["not valid for name", "NotValidForName"],
            "its certificate is for other names: use one of them in the URL, or have it certified for this one",
        ),
        (
            &["certificate expired", "certificate not valid yet", "Expired", "NotValidYet"],
            "renew its certificate, or set the clock",
        ),
        (
            &["CertificateRequired", "CertificateUnknown"],
            "it wants a certificate of this node: name its files in the ..._CERT_FILE and ..._KEY_FILE variables",
        ),
        (&["corrupt message", "InvalidContentType"], "it does not speak TLS at this port"),
        (&["does not support TLS"], "switch TLS on at the server"),
    ];
    let found = ADVICE.iter().find(|(words, _)| words.iter().any(|word| said.contains(word)));
    found.map(|(_, advice)| *advice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::{MapEnv, Unit};

    const VARS: TlsVars = TlsVars {
        ca: Var::new("RALLY_T_CA_FILE", Unit::Text, "Authorities."),
        cert: Var::new("RALLY_T_CERT_FILE", Unit::Text, "Certificate."),
        key: Var::new("RALLY_T_KEY_FILE", Unit::Text, "Key."),
    };

    fn faults(strings: &MapEnv, tls: bool) -> String {
        let mut env = Env::new(strings);
        let read = TlsFiles::read(&mut env, &VARS, tls);
        env.finish(read).err().map(|faults| faults.to_string()).unwrap_or_default()
    }

    #[test]
    fn files_that_cannot_serve_are_faults() {
        let missing = MapEnv::new([("RALLY_T_CA_FILE", "/run/ca")]);
        assert!(faults(&missing, true).contains("RALLY_T_CA_FILE names /run/ca, which cannot be read"));
        let nonsense = missing.with_file("/run/ca", "-----BEGIN NONSENSE-----");
        assert!(faults(&nonsense, true).contains("RALLY_T_CA_FILE names a file that holds no certificate"));
        let alone = MapEnv::new([("RALLY_T_CERT_FILE", "/run/cert")]).with_file("/run/cert", "x");
        assert!(faults(&alone, true).contains("RALLY_T_KEY_FILE is not set"));
        let both = MapEnv::new([("RALLY_T_CERT_FILE", "/run/cert"), ("RALLY_T_KEY_FILE", "/run/cert")])
            .with_file("/run/cert", "k3y-m4terial");
        let text = faults(&both, true);
        assert!(text.contains("no certificate in PEM") && text.contains("no private key in PEM"), "{text}");
        assert!(!text.contains("k3y-m4terial"), "{text}");
    }

    #[test]
    fn files_for_a_plain_server_are_a_fault() {
        let strings = MapEnv::new([("RALLY_T_CA_FILE", "/run/ca")]).with_file("/run/ca", "x");
        assert!(faults(&strings, false).contains("the URL does not ask for TLS"));
        assert_eq!(faults(&MapEnv::default(), false), "");
    }
}
