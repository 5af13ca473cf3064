//! `coxswain share` as a person meets it.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use bitcoin::secp256k1::{Scalar, Secp256k1, SecretKey};
use coxswain_protocol::Seat;
use coxswain_signing::store::{Core, Cost, Passphrase, ShareInfo, Shares};
use serde_json::json;
use tempfile::TempDir;
use zeroize::Zeroizing;

use crate::support::coxswain;

const CHEAP: Cost = Cost { kib: 8, passes: 1, lanes: 1 };

/// Seat 2's share of a key that takes two of three.
fn saved(folder: &Path) -> PathBuf {
    let secp = Secp256k1::new();
    let slope = Scalar::from(SecretKey::from_slice(&[9; 32]).unwrap());
    let mut scalars = vec![SecretKey::from_slice(&[7; 32]).unwrap()];
    for _ in 1..=3 {
        scalars.push(scalars.last().unwrap().add_tweak(&slope).unwrap());
    }
    let points: Vec<_> = scalars.iter().map(|scalar| scalar.public_key(&secp)).collect();
    let seats = vec![Seat::try_from(2).unwrap()];
    let info = ShareInfo {
        scheme: "test 1".to_owned(),
        chain_id: 31337,
        wallet_key: points[0],
        group_size: 3,
        threshold: 2,
        seats: seats.clone(),
        dealt: true,
    };
    let core = Core::new(seats, vec![Zeroizing::new(scalars[2].secret_bytes())], points[1..].to_vec());
    let shares = Shares::new(info, core, Zeroizing::new(Vec::new())).unwrap();
    shares.save(folder, &Passphrase::new(b"correct horse"), CHEAP).unwrap()
}

fn written(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path.to_str().unwrap().to_owned()
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[tokio::test]
async fn a_file_of_shares_says_all_but_secrets() {
    let folder = folder();
    let file = saved(folder.path());
    let file = file.to_str().unwrap();
    let run = coxswain(&["share", "inspect", file], "").await;
    assert_eq!(run.code, 0, "{run:?}");
    for part in ["2 of 3 seats sign", "own seats   2", "31337", "dealt", "test 1", "not opened"] {
        assert!(run.stdout.contains(part), "{part}: {run:?}");
    }
    let json = coxswain(&["share", "inspect", file, "--json"], "").await.json();
    assert_eq!((&json["seats"], &json["verifyingShares"]), (&json!([2]), &json!(null)));

    let passphrase = written(folder.path(), "passphrase", "correct horse\n");
    let opened = ["share", "inspect", file, "--passphrase-file", &passphrase, "--json"];
    let run = coxswain(&opened, "").await;
    assert_eq!(run.json()["verifyingShares"].as_array().unwrap().len(), 3);
    let secret = SecretKey::from_slice(&[7; 32]).unwrap();
    let slope = Scalar::from(SecretKey::from_slice(&[9; 32]).unwrap());
    let share = secret.add_tweak(&slope).unwrap().add_tweak(&slope).unwrap();
    assert!(!run.stdout.contains(&share.display_secret().to_string()), "{run:?}");
}

#[tokio::test]
async fn what_is_refused_is_said_with_its_remedy() {
    let folder = folder();
    let file = saved(folder.path());
    let name = file.to_str().unwrap();
    let wrong = written(folder.path(), "passphrase", "correct horsf");
    let run = coxswain(&["share", "inspect", name, "--passphrase-file", &wrong], "").await;
    assert!(run.code == 2 && run.stderr.contains("the passphrase is wrong"), "{run:?}");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let run = coxswain(&["share", "inspect", name], "").await;
    assert!(run.code == 2 && run.stderr.contains("chmod 600"), "{run:?}");
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let run = coxswain(&["share", "inspect", name], "").await;
    assert!(run.code == 2 && run.stderr.contains("bring back a copy"), "{run:?}");
    let run = coxswain(&["share", "inspect", "/nowhere/at.share"], "").await;
    assert!(run.code == 2 && run.stderr.contains("there is no such file"), "{run:?}");
}

#[cfg(not(feature = "threshold"))]
#[tokio::test]
async fn nothing_is_dealt_without_the_feature() {
    let run = coxswain(&["share", "deal", "--chain-id", "31337"], "").await;
    assert_eq!(run.code, 2, "{run:?}");
    assert!(run.stderr.contains("deal"), "{run:?}");
}

#[cfg(feature = "threshold")]
#[tokio::test]
async fn a_test_group_is_dealt_and_no_other() {
    let folder = folder();
    let operators: Vec<String> =
        [1, 2, 1].map(|byte| alloy_primitives::Address::repeat_byte(byte).to_string()).into();
    let group = written(folder.path(), "group.txt", &operators.join("\n"));
    let passphrase = written(folder.path(), "passphrase", "correct horse");
    let out = folder.path().join("keys");
    let deal = |more: &[&str]| {
        let all =
            ["share", "deal", "--threshold", "2", "--operators", &group, "--out", out.to_str().unwrap()];
        let all = [&all[..], &["--passphrase-file", &passphrase, "--json"], more].concat();
        all.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let run = async |arguments: Vec<String>| {
        coxswain(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), "").await
    };
    for refused in [
        &["--chain-id", "1"][..],
        &["--chain-id", "11155111"],
        &["--chain-id", "1", "--test-chain", "1"],
        &["--chain-id", "31337", "--test-chain", "1"],
    ] {
        let run = run(deal(refused)).await;
        assert!(run.code == 2 && run.stderr.contains("test chain"), "{run:?}");
        assert!(!out.exists());
    }
    let json = run(deal(&["--chain-id", "31337"])).await.json();
    let files = json["files"].as_array().unwrap();
    assert_eq!((&files[0]["seats"], &files[1]["seats"]), (&json!([1, 3]), &json!([2])));
    for file in files {
        let file = file["file"].as_str().unwrap();
        let run = coxswain(&["share", "inspect", file, "--passphrase-file", &passphrase, "--json"], "").await;
        assert_eq!(run.json()["walletKey"], json["walletKey"], "{run:?}");
        assert_eq!(run.json()["dealt"], json!(true));
    }
    let again = run(deal(&["--chain-id", "31337"])).await;
    assert!(again.code == 2 && again.stderr.contains("is there already"), "{again:?}");
}
