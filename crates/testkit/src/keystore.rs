//! Keystore files of operators whose keys are known.

use std::{fs, io, path::Path};

use alloy::primitives::{hex, keccak256};
use serde_json::{Value, json};

/// What a keystore's file is opened with.
pub const PASSWORD: &str = "correct horse";

/// A keystore of this key, under [`PASSWORD`]. It is derived cheaply, for tests start many programs.
pub fn keystore(secret: [u8; 32]) -> Value {
    // The cipher's stream and the key of its checksum, which salt and password alone decide.
    const STREAM: [u8; 32] = hex!("4321e439ec7ee89fb58f1d8e9ed998aee2fe3d6ae696baf694b92881032db6a4");
    const MAC: [u8; 16] = hex!("f80ee7ccc89564199957a2a783532f80");
    let ciphertext: Vec<u8> = secret.iter().zip(STREAM).map(|(secret, stream)| secret ^ stream).collect();
    let mac = keccak256([&MAC[..], &ciphertext].concat());
    json!({
        "version": 3,
        "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6",
        "crypto": {
            "cipher": "aes-128-ctr",
            "ciphertext": hex::encode(ciphertext),
            "cipherparams": { "iv": "000102030405060708090a0b0c0d0e0f" },
            "kdf": "scrypt",
            "kdfparams": {
                "dklen": 32, "n": 1024, "p": 1, "r": 8,
                "salt": "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
            },
            "mac": hex::encode(mac),
        },
    })
}

/// Writes a file that nobody else may read: programs use no other as a keystore, or for its password.
///
/// # Errors
/// If it can't be written.
pub fn write_private(path: &Path, text: impl AsRef<[u8]>) -> io::Result<()> {
    fs::write(path, text)?;
    #[cfg(unix)]
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    Ok(())
}
