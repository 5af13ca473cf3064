//! The conformance suite, against servers within the test's own process.

use coxswain_bitcoin::{Endpoint, Limits};
use coxswain_testkit::{BitcoinServer, Regtest, Reply, Serving};

use crate::backends::conformance::{self, Ground, each_case};

struct InProcess {
    chain: Regtest,
    server: BitcoinServer,
    endpoint: Endpoint,
    finds_spent: bool,
    tells_absent: bool,
}

impl InProcess {
    fn new(chain: Regtest, server: BitcoinServer, serving: &Serving) -> Self {
        let endpoint = Endpoint::new(server.url(), Limits::default()).unwrap();
        let finds_spent = serving.index && serving.verbose;
        Self { chain, server, endpoint, finds_spent, tells_absent: serving.index }
    }

    async fn electrum(serving: Serving) -> Self {
        let chain = Regtest::new();
        let server = BitcoinServer::electrum(&chain, serving.clone(), |_, _| Reply::Forward).await.unwrap();
        Self::new(chain, server, &serving)
    }

    async fn core(serving: Serving) -> Self {
        let chain = Regtest::new();
        let server = BitcoinServer::core(&chain, serving.clone(), |_, _| Reply::Forward).await.unwrap();
        Self::new(chain, server, &serving)
    }
}

impl Ground for InProcess {
    fn chain(&self) -> &Regtest {
        &self.chain
    }

    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    async fn settle(&self) {}

    fn finds_spent(&self) -> bool {
        self.finds_spent
    }

    fn tells_absent(&self) -> bool {
        self.tells_absent
    }
}

macro_rules! test_against {
    ($name:ident, $ground:expr) => {
        mod $name {
            use super::*;

            macro_rules! run {
                ($case:ident) => {
                    #[tokio::test]
                    async fn $case() {
                        let ground = $ground.await;
                        conformance::$case(&ground).await;
                        // What anyone can fill is asked for in one case only, and in steps.
                        let allowed = stringify!($case).contains("who_spends");
                        let asked = ground.server.methods().iter().any(|method| method.contains("history"));
                        assert!(allowed || !asked);
                    }
                };
            }
            each_case!(run);
        }
    };
}

test_against!(electrum, InProcess::electrum(Serving::default()));
test_against!(
    electrum_that_describes_no_transactions,
    InProcess::electrum(Serving { verbose: false, ..Serving::default() })
);
test_against!(core, InProcess::core(Serving::default()));
test_against!(
    core_without_an_index_of_transactions,
    InProcess::core(Serving { index: false, ..Serving::default() })
);
test_against!(electrum_over_tls, async {
    let (chain, serving) = (Regtest::new(), Serving::default());
    let server = BitcoinServer::electrum_over_tls(&chain, serving.clone()).await.unwrap();
    InProcess::new(chain, server, &serving)
});
