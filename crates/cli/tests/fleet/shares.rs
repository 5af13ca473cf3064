//! Files of key shares for the processes of a fleet, dealt by the program itself.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, process::Command};

use alloy_primitives::hex;

use super::{Fleet, operator};

/// What files of key shares are opened with.
pub(crate) const PASSPHRASE: &str = "battery staple of a test";

impl Fleet {
    /// Has the program share out the wallets' keys.
    pub(super) fn deal(&self, threshold: u8) {
        let operators: Vec<_> = (1..=self.plan.operators).map(operator).collect();
        let lines: Vec<_> = operators.iter().map(ToString::to_string).collect();
        let passphrase = self.write_private("passphrase", PASSPHRASE);
        let group = self.write_private("group", &lines.join("\n"));
        for (index, secret) in self.plan.secrets.iter().enumerate() {
            let key = self.write_private("whole", &hex::encode(secret));
            let out = self.folder.path().join(format!("dealt{index}"));
            let mut command = Command::new(env!("CARGO_BIN_EXE_coxswain"));
            command.args(["share", "deal", "--chain-id", "31337", "--threshold", &threshold.to_string()]);
            command.arg("--operators").arg(&group).arg("--passphrase-file").arg(&passphrase);
            let dealt = command.arg("--key-file").arg(&key).arg("--out").arg(&out).output().unwrap();
            assert!(dealt.status.success(), "{dealt:?}");
            fs::remove_file(key).unwrap();
            for (number, operator) in (1..).zip(&operators) {
                let keys = self.shares(number);
                if !keys.exists() {
                    fs::create_dir(&keys).unwrap();
                    fs::set_permissions(&keys, fs::Permissions::from_mode(0o700)).unwrap();
                }
                for file in fs::read_dir(out.join(operator.to_string())).unwrap().map(Result::unwrap) {
                    if file.path().extension().is_some_and(|extension| extension == "share") {
                        fs::rename(file.path(), keys.join(file.file_name())).unwrap();
                    }
                }
            }
        }
    }

    /// The folder with an operator's files of shares.
    pub(crate) fn shares(&self, number: u8) -> PathBuf {
        self.folder.path().join(format!("keys{number}"))
    }
}
