//! The page at `/`: one file, with what it shows sent to it as events. Read-only, and for this machine alone unless somebody
//! says otherwise.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{Stream, stream};
use hyper::body::{Body, Bytes, Frame, SizeHint};
use serde_json::value::RawValue;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, timeout, timeout_at},
};

/// The page.
pub(super) const HTML: &str = include_str!("page/page.html");
/// What the page may do: run its own script and style, and ask this server. Nothing else is loaded, framed or sent anywhere.
pub(super) const POLICY: &str = concat!(
    "default-src 'none'; script-src 'sha256-P7MlmQ5d4hv2kk9fYaNuFeEyyfU7HW3wNL2WoRzqYNo='; style-src 'sha256-bqltrNYzo4v4IuMdpyvZGDOKnSh1orHQt0bRmE6z2KY='; ",
    "img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
);
/// How many pages are kept up to date at a time. Others are told to come back.
const MAX_LIVE: usize = 8;
/// How long one stream of events lasts. The browser then asks for the next, which it does by itself.
const LASTS: Duration = Duration::from_secs(20);
/// How long a request for what is shown waits until it is put together.
const PUT_TOGETHER: Duration = Duration::from_secs(10);
/// What a stream begins with: how long the browser waits before it asks again, in milliseconds.
const AGAIN: &str = "retry: 1000\n\n";

/// What a page shows, and who may see it.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// What it shows now. `None` if it isn't put together yet.
    shown: watch::Receiver<Option<Arc<RawValue>>>,
    /// How many look at it.
    looks: Arc<watch::Sender<usize>>,
    /// Whether others than this machine may see it.
    pub(super) is_public: bool,
    places: Arc<Semaphore>,
}

impl Source {
    /// Nobody looks at it yet. Gives how many do from then on, too.
    pub(super) fn new(
        shown: watch::Receiver<Option<Arc<RawValue>>>,
        is_public: bool,
    ) -> (Self, watch::Receiver<usize>) {
        let (looks, count) = watch::channel(0);
        let (looks, places) = (Arc::new(looks), Arc::new(Semaphore::new(MAX_LIVE)));
        (Self { shown, looks, is_public, places }, count)
    }

    /// What is shown now, once it is put together: `null` if that takes too long.
    pub(super) fn document(&self) -> Answer {
        let (mut shown, look) = (self.shown.clone(), Look::begin(&self.looks));
        Answer::Live(Box::pin(stream::once(async move {
            let is_there = timeout(PUT_TOGETHER, shown.wait_for(Option::is_some)).await;
            let document = is_there.ok().and_then(Result::ok).and_then(|shown| shown.clone());
            drop(look);
            Bytes::from(document.map_or_else(|| "null\n".to_owned(), |document| format!("{document}\n")))
        })))
    }

    /// What is shown, and each time that it changes again. `None` if too many are watching.
    pub(super) fn events(&self) -> Option<Answer> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let mut shown = self.shown.clone();
        shown.mark_changed();
        let until = Instant::now().checked_add(LASTS)?;
        let first = Some(Bytes::from_static(AGAIN.as_bytes()));
        let state = Watching { shown, until, first, _look: Look::begin(&self.looks), _place: place };
        Some(Answer::Live(Box::pin(stream::unfold(state, Watching::next))))
    }
}

/// Somebody looks, as long as this is there.
struct Look(Arc<watch::Sender<usize>>);

impl Look {
    fn begin(looks: &Arc<watch::Sender<usize>>) -> Self {
        looks.send_modify(|count| *count = count.saturating_add(1));
        Self(Arc::clone(looks))
    }
}

impl Drop for Look {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

struct Watching {
    shown: watch::Receiver<Option<Arc<RawValue>>>,
    until: Instant,
    first: Option<Bytes>,
    _look: Look,
    _place: OwnedSemaphorePermit,
}

impl Watching {
    async fn next(mut self) -> Option<(Bytes, Self)> {
        if let Some(first) = self.first.take() {
            return Some((first, self));
        }
        loop {
            let changed = timeout_at(self.until, self.shown.changed()).await;
            changed.ok()?.ok()?;
            // JSON as it is written here has no line breaks of its own, so that it is one line of the event.
            let shown = self.shown.borrow_and_update().clone();
            if let Some(shown) = shown {
                return Some((format!("data: {shown}\n\n").into(), self));
            }
        }
    }
}

/// What a request is answered with.
pub(super) enum Answer {
    /// A text, once.
    Whole(Option<Bytes>),
    /// Events, as they come.
    Live(Pin<Box<dyn Stream<Item = Bytes> + Send>>),
}

impl From<String> for Answer {
    fn from(text: String) -> Self {
        Self::Whole(Some(text.into()))
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Self::Live(events) => {
                events.as_mut().poll_next(context).map(|event| event.map(|event| Ok(Frame::data(event))))
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(text) => {
                let length = text.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
            }
            Self::Live(_) => SizeHint::new(),
        }
    }
}

/// Whether the name that a request is for is this machine's own, or an address: a page that a stranger's name leads to may be
/// theirs, and its script must not read this one.
pub(super) fn is_own_name(host: Option<&str>) -> bool {
    let Some(host) = host else { return false };
    let name = host.rsplit_once(':').map_or(host, |(name, port)| {
        if port.bytes().all(|digit| digit.is_ascii_digit()) { name } else { host }
    });
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || address.parse::<std::net::IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use bitcoin::{
        base64::{Engine as _, engine::general_purpose::STANDARD},
        hashes::{Hash as _, sha256},
    };
    use futures_util::StreamExt as _;
    use serde_json::{json, value::to_raw_value};

    use super::*;

    fn said(document: &serde_json::Value) -> Option<Arc<RawValue>> {
        Some(to_raw_value(document).unwrap().into())
    }

    fn between<'a>(begin: &str, end: &str) -> &'a str {
        HTML.split_once(begin).unwrap().1.split_once(end).unwrap().0
    }

    #[test]
    fn the_policy_names_the_script_and_the_style_that_the_page_has() {
        for (kind, begin, end) in [("script", "<script>", "</script>"), ("style", "<style>", "</style>")] {
            let hash = STANDARD.encode(sha256::Hash::hash(between(begin, end).as_bytes()).to_byte_array());
            let named = format!("{kind}-src 'sha256-{hash}'");
            assert!(POLICY.contains(&named), "the policy has to say {named}");
        }
        assert!(!POLICY.contains("unsafe"));
    }

    #[test]
    fn what_comes_from_outside_is_only_ever_set_as_text() {
        for way in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("] {
            assert!(!HTML.contains(way), "{way}");
        }
        assert!(!HTML.contains("http://") && !HTML.contains("https://"), "nothing is loaded from elsewhere");
    }

    #[test]
    fn only_this_machines_own_names_lead_to_a_page_that_is_not_public() {
        for own in ["localhost", "localhost:9601", "127.0.0.1:9601", "[::1]:9601", "192.0.2.7"] {
            assert!(is_own_name(Some(own)), "{own}");
        }
        for other in ["rebound.example:9601", "localhost.example", "127.0.0.1.example", ""] {
            assert!(!is_own_name(Some(other)), "{other}");
        }
        assert!(!is_own_name(None));
    }

    #[tokio::test(start_paused = true)]
    async fn events_are_what_is_shown_now_and_each_change_until_the_stream_ends() {
        let (show, shown) = watch::channel(said(&json!({ "block": 1 })));
        let (source, looks) = Source::new(shown, false);
        assert_eq!(*looks.borrow(), 0);
        let Some(Answer::Live(mut events)) = source.events() else { panic!("there is a place") };
        assert_eq!(*looks.borrow(), 1);
        assert_eq!(events.next().await.unwrap(), AGAIN);
        assert_eq!(events.next().await.unwrap(), "data: {\"block\":1}\n\n");
        // A line break in what a peer says ends no line. What is not there is not shown.
        show.send_replace(None);
        show.send_replace(said(&json!({ "says": "a\n\ndata: b" })));
        assert_eq!(events.next().await.unwrap(), "data: {\"says\":\"a\\n\\ndata: b\"}\n\n");
        assert_eq!(events.next().await, None, "nothing changes: it ends, and the browser asks again");
        drop(events);
        assert_eq!(*looks.borrow(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_once_waits_until_it_is_put_together_and_not_for_ever() {
        let (show, shown) = watch::channel(None);
        let (source, mut looks) = Source::new(shown, false);
        let Answer::Live(mut document) = source.document() else { panic!("it may have to wait") };
        let put_together = async {
            looks.wait_for(|count| *count == 1).await.unwrap();
            show.send_replace(said(&json!({ "block": 1 })));
        };
        let (got, ()) = tokio::join!(document.next(), put_together);
        assert_eq!(got.unwrap(), "{\"block\":1}\n");
        assert_eq!(*looks.borrow(), 0, "it looks no more");
        assert_eq!(document.next().await, None);
        show.send_replace(None);
        let Answer::Live(mut document) = source.document() else { panic!("it may have to wait") };
        assert_eq!(document.next().await.unwrap(), "null\n");
    }

    #[test]
    fn so_many_pages_are_kept_up_to_date_and_no_more() {
        let (_show, shown) = watch::channel(said(&json!(null)));
        let (source, _looks) = Source::new(shown, false);
        let mut open: Vec<_> = (0..MAX_LIVE).filter_map(|_| source.events()).collect();
        assert_eq!((open.len(), source.events().is_none()), (MAX_LIVE, true));
        open.pop();
        assert!(source.events().is_some());
    }
}
