//! What was agreed on is carried out, from deposits to moved funds.

use coxswain_testkit::World;

use crate::lives::{Life, live};

#[tokio::test(flavor = "multi_thread")]
async fn five_nodes_carry_out_what_they_agree_on_through_two_wallets_lives() {
    live(World::start().await.unwrap(), Life::default(), async |_| {}).await;
}
