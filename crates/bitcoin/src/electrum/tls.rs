//! Whom to trust behind TLS: the platform's authorities, or one certificate that the operator names.
//!
//! Most Electrum servers sign their own certificate, which no authority vouches for.

use std::{fmt, io, sync::Arc};

use bitcoin::hashes::{Hash, sha256};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use rustls_platform_verifier::Verifier;

/// What a client expects of the server's certificate: this SHA-256, or else an authority's signature.
pub(super) fn client(fingerprint: Option<sha256::Hash>) -> Result<Arc<ClientConfig>, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
    let verifier: Arc<dyn ServerCertVerifier> = match fingerprint {
        None => Arc::new(Vouched(Verifier::new(provider)?)),
        Some(fingerprint) => Arc::new(Pinned { fingerprint, provider }),
    };
    let config = builder.with_safe_default_protocol_versions()?;
    Ok(Arc::new(config.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()))
}

/// A certificate that is not trusted, told apart from whatever else ends a handshake.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    /// Its SHA-256.
    pub(super) fingerprint: sha256::Hash,
    /// Whether another one was named.
    pub(super) pinned: bool,
    /// The flaw.
    pub(super) problem: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the certificate {}", self.problem)
    }
}

impl std::error::Error for Refused {}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refused))))
    }
}

/// The certificate that a handshake failed over, if it did.
pub(super) fn refused(error: &io::Error) -> Option<&Refused> {
    match error.get_ref()?.downcast_ref()? {
        Error::InvalidCertificate(CertificateError::Other(OtherError(error))) => error.downcast_ref(),
        _ => None,
    }
}

/// Takes what an authority that the platform trusts has vouched for.
#[derive(Debug)]
struct Vouched(Verifier);

impl ServerCertVerifier for Vouched {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.0.verify_server_cert(certificate, intermediates, name, ocsp_response, now);
        verified.map_err(|error| {
            let problem = match error {
                Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
                    "is signed by no authority that this machine trusts".to_owned()
                }
                Error::InvalidCertificate(
                    CertificateError::Expired | CertificateError::ExpiredContext { .. },
                ) => "has expired".to_owned(),
                Error::InvalidCertificate(
                    CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
                ) => "is for another host".to_owned(),
                other => format!("can't be trusted ({other})"),
            };
            Refused { fingerprint: sha256::Hash::hash(certificate), pinned: false, problem }.into()
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Accepts exactly one certificate, no matter which authority signed it.
#[derive(Debug)]
struct Pinned {
    fingerprint: sha256::Hash,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let actual = sha256::Hash::hash(certificate);
        if actual == self.fingerprint {
            return Ok(ServerCertVerified::assertion());
        }
        let problem = format!("is another than the one named, {}", self.fingerprint);
        Err(Refused { fingerprint: actual, pinned: true, problem }.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
