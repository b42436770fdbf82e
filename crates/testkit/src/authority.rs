//! Certificates that nobody trusts but those who are told to.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use rally_service::{
    env::{Env, MapEnv, Unit, Var},
    local::ScratchDir,
    tls::{TlsFiles, TlsVars},
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::ClientConfig;

const CLIENT_VARS: TlsVars = TlsVars {
    ca: Var::new("RALLY_TEST_CA_FILE", Unit::Text, "The authority."),
    cert: Var::new("RALLY_TEST_CERT_FILE", Unit::Text, "The client's certificate."),
    key: Var::new("RALLY_TEST_KEY_FILE", Unit::Text, "Its key."),
};

/// An authority that signs the certificates of a test, with its files in a folder of its own.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    file: PathBuf,
    dir: ScratchDir,
}

/// A certificate of an [`Authority`] and its key, as text and as files. The files go with the authority.
#[derive(Clone, Debug)]
pub struct Certificate {
    pem: String,
    key_pem: String,
    file: PathBuf,
    key_file: PathBuf,
}

impl Authority {
    /// A new one.
    ///
    /// # Panics
    /// When its file cannot be written.
    pub fn new(name: &str) -> Self {
        let dir = ScratchDir::new("authority").unwrap_or_else(|e| panic!("cannot make a folder: {e}"));
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = new_key();
        let certificate = params.self_signed(&key).unwrap_or_else(|e| panic!("cannot sign: {e}"));
        let file = write(&dir, "ca.crt", &certificate.pem());
        Self { issuer: Issuer::new(params, key), file, dir }
    }

    /// Where its certificate is, in PEM.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// How a client connects that trusts this authority alone, and proves itself by a certificate if it has one: read
    /// as nodes read it.
    ///
    /// # Panics
    /// When the files cannot serve.
    pub fn client(&self, identity: Option<&Certificate>) -> Arc<ClientConfig> {
        let path = |path: &Path| path.display().to_string();
        let mut strings = vec![(CLIENT_VARS.ca.name, path(&self.file))];
        if let Some(identity) = identity {
            strings.push((CLIENT_VARS.cert.name, path(&identity.file)));
            strings.push((CLIENT_VARS.key.name, path(&identity.key_file)));
        }
        let mut files = MapEnv::new(strings.iter().map(|(name, path)| (*name, path.as_str())));
        for (_, path) in &strings {
            files = files.with_file(path, &fs::read_to_string(path).unwrap_or_else(|e| panic!("{path}: {e}")));
        }
        let mut env = Env::new(&files);
        let read = TlsFiles::read(&mut env, &CLIENT_VARS, true);
        let files = env.finish(read).unwrap_or_else(|faults| panic!("{faults}"));
        files.client().unwrap_or_else(|e| panic!("{e}"))
    }

    /// Signs a certificate for these names and addresses.
    ///
    /// # Panics
    /// When its files cannot be written.
    pub fn certify(&self, names: &[&str]) -> Certificate {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let base = names.join("-").replace(['*', ':', '/'], "_");
        let mut params = CertificateParams::new(names).unwrap_or_else(|e| panic!("no such names: {e}"));
        params.distinguished_name.push(DnType::CommonName, base.as_str());
        let key = new_key();
        let certificate = params.signed_by(&key, &self.issuer).unwrap_or_else(|e| panic!("cannot sign: {e}"));
        let (pem, key_pem) = (certificate.pem(), key.serialize_pem());
        let file = write(&self.dir, &format!("{base}.crt"), &pem);
        let key_file = write(&self.dir, &format!("{base}.key"), &key_pem);
        Certificate { pem, key_pem, file, key_file }
    }
}

impl Certificate {
    /// In PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Its key, in PEM.
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// Where it is.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Where its key is.
    pub fn key_file(&self) -> &Path {
        &self.key_file
    }
}

fn new_key() -> KeyPair {
    KeyPair::generate().unwrap_or_else(|e| panic!("cannot make a key: {e}"))
}

fn write(dir: &ScratchDir, name: &str, text: &str) -> PathBuf {
    let path = dir.path().join(name);
    fs::write(&path, text).unwrap_or_else(|e| panic!("cannot write {}: {e}", path.display()));
    path
}
