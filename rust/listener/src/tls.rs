//! A certificate and its key in, connections that nobody can listen to out.

use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// What is spoken inside, the best first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Why a certificate cannot be served.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The text has no certificate, or a broken one.
    #[error("no certificate can be read: {0}\nhint: give the chain as PEM, your own first")]
    Certificate(pem::Error),
    /// The text has no private key, or a broken one.
    #[error("no private key can be read: {0}\nhint: give it as PEM, not encrypted")]
    Key(pem::Error),
    /// The two do not belong together, or are of a kind that is not spoken.
    #[error("the certificate cannot be used: {0}\nhint: give the key that it was made for")]
    Unfit(rustls::Error),
}

/// A certificate chain with its private key.
#[derive(Clone)]
pub struct Certificate(Arc<ServerConfig>);

impl Certificate {
    /// Read a chain and a key, both PEM.
    ///
    /// # Errors
    /// One of them cannot be read, or they do not belong together.
    pub fn new(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let chain = CertificateDer::pem_slice_iter(chain).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(TlsError::Certificate)?;
        if chain.is_empty() {
            return Err(TlsError::Certificate(pem::Error::NoItemsFound));
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(TlsError::Key)?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|config| config.with_no_client_auth().with_single_cert(chain, key));
        let mut config = config.map_err(TlsError::Unfit)?;
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        Ok(Self(Arc::new(config)))
    }
}

/// What new connections are greeted with; it can be renewed meanwhile.
pub(crate) struct Tls(RwLock<Certificate>);

impl Tls {
    pub(crate) fn new(certificate: Certificate) -> Self {
        Self(RwLock::new(certificate))
    }

    pub(crate) fn renew(&self, certificate: Certificate) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = certificate;
    }

    /// Shake hands.
    pub(crate) async fn greet(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let Certificate(config) = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        TlsAcceptor::from(config).accept(stream).await
    }
}

/// Whether both sides agreed on HTTP/2.
pub(crate) fn speaks_http2(stream: &TlsStream<TcpStream>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(PROTOCOLS[0])
}
