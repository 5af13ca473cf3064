//! Sealing and opening. A fresh data key for every file written, so that no nonce meets a key twice.

use std::path::Path;

use chacha20poly1305::{KeyInit, Tag, XChaCha20Poly1305, XNonce, aead::AeadInOut};
use zeroize::Zeroizing;

use super::{
    Core, Cost, Passphrase, ShareError, Shares,
    format::{self, Header, KEY, NONCE, Parts, Sealed, TAG},
};

/// What a section is, beside the header: one can't stand for another.
const KEY_SECTION: &[u8] = b"key";
const CORE_SECTION: &[u8] = b"core";
const PAIRS_SECTION: &[u8] = b"pairs";

/// The bytes of a file with these shares.
pub(super) fn seal(shares: &Shares, passphrase: &Passphrase, cost: Cost) -> Result<Vec<u8>, ShareError> {
    let header = Header { info: shares.info.clone(), cost, salt: random()?, pairs: shares.pairs.len() };
    let wrapping = cost.stretch(passphrase.bytes(), &header.salt).ok_or(ShareError::System("memory"))?;
    let data_key = Zeroizing::new(random::<KEY>()?);
    let header = header.to_bytes();
    let mut out = header.clone();
    put(&mut out, &wrapping, &header, KEY_SECTION, data_key.as_slice())?;
    put(&mut out, &data_key, &header, CORE_SECTION, &shares.core.to_bytes(&shares.info))?;
    put(&mut out, &data_key, &header, PAIRS_SECTION, &shares.pairs)?;
    format::finish(&mut out);
    Ok(out)
}

/// The shares in a file.
pub(super) fn open(parts: &Parts<'_>, passphrase: &Passphrase, path: &Path) -> Result<Shares, ShareError> {
    let Parts { header, header_bytes, key, core, pairs } = parts;
    if header.cost.params().is_none() {
        return Err(ShareError::Cost(path.into()));
    }
    let wrapping =
        header.cost.stretch(passphrase.bytes(), &header.salt).ok_or(ShareError::System("memory"))?;
    let data_key = get(&wrapping, header_bytes, KEY_SECTION, key)
        .ok_or_else(|| ShareError::WrongPassphrase(path.into()))?;
    let data_key: Zeroizing<[u8; KEY]> =
        Zeroizing::new(data_key.as_slice().try_into().expect("its length was checked"));
    let section = |name, sealed| {
        get(&data_key, header_bytes, name, sealed).ok_or_else(|| ShareError::Altered(path.into()))
    };
    let core = section(CORE_SECTION, core)?;
    let core = Core::from_bytes(&core, &header.info).map_err(ShareError::Inconsistent)?;
    Shares::new(header.info.clone(), core, section(PAIRS_SECTION, pairs)?)
}

fn random<const LENGTH: usize>() -> Result<[u8; LENGTH], ShareError> {
    let mut bytes = [0; LENGTH];
    getrandom::fill(&mut bytes).map_err(|_| ShareError::System("random bytes"))?;
    Ok(bytes)
}

fn authenticated(header: &[u8], section: &[u8]) -> Vec<u8> {
    [section, header].concat()
}

/// Encrypts a section where it will stand, so that its plaintext is nowhere twice.
fn put(
    out: &mut Vec<u8>,
    key: &[u8; KEY],
    header: &[u8],
    section: &[u8],
    plaintext: &[u8],
) -> Result<(), ShareError> {
    let nonce = random::<NONCE>()?;
    out.reserve_exact(NONCE + plaintext.len() + TAG);
    out.extend_from_slice(&nonce);
    let begin = out.len();
    out.extend_from_slice(plaintext);
    let buffer = out.get_mut(begin..).expect("it was there");
    let tag = XChaCha20Poly1305::new(&(*key).into())
        .encrypt_inout_detached(&XNonce::from(nonce), &authenticated(header, section), buffer.into())
        .expect("a section is far shorter than what the cipher takes");
    out.extend_from_slice(&tag);
    Ok(())
}

fn get(key: &[u8; KEY], header: &[u8], section: &[u8], sealed: &Sealed<'_>) -> Option<Zeroizing<Vec<u8>>> {
    let (ciphertext, tag) = sealed.ciphertext.split_last_chunk::<TAG>()?;
    let mut buffer = Zeroizing::new(ciphertext.to_vec());
    XChaCha20Poly1305::new(&(*key).into())
        .decrypt_inout_detached(
            &XNonce::from(sealed.nonce),
            &authenticated(header, section),
            buffer.as_mut_slice().into(),
            &Tag::from(*tag),
        )
        .ok()?;
    Some(buffer)
}
