//! Numbers under fixed names, as Prometheus reads them.

use std::{
    collections::BTreeMap,
    fmt::{self, Write},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// Writes numbers that something else keeps.
type Collect = Box<dyn Fn(&mut Page) + Send + Sync>;

/// What a program counts.
#[derive(Default)]
pub struct Metrics(Mutex<Registered>);

#[derive(Default)]
struct Registered {
    counters: BTreeMap<&'static str, (&'static str, Counter)>,
    gauges: BTreeMap<&'static str, (&'static str, Gauge)>,
    collected: Vec<Collect>,
}

/// A number that only grows.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// One more.
    pub fn increment(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// How many.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicU64>);

impl Gauge {
    /// It is this now.
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }

    /// What it is.
    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// The counter of this name. It is there, as 0, from now on.
    pub fn counter(&self, name: &'static str, help: &'static str) -> Counter {
        let mut registered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        registered.counters.entry(name).or_insert_with(|| (help, Counter::default())).1.clone()
    }

    /// The gauge of this name. It is there, as 0, from now on.
    pub fn gauge(&self, name: &'static str, help: &'static str) -> Gauge {
        let mut registered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        registered.gauges.entry(name).or_insert_with(|| (help, Gauge::default())).1.clone()
    }

    /// Adds numbers that something else keeps. It is asked at each request, so it must not wait.
    pub fn collect(&self, write: impl Fn(&mut Page) + Send + Sync + 'static) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).collected.push(Box::new(write));
    }

    /// All numbers, in the text format of Prometheus.
    pub fn render(&self) -> String {
        let registered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut page = Page::default();
        for (name, (help, counter)) in &registered.counters {
            page.counter(name, help, counter.get());
        }
        for (name, (help, gauge)) in &registered.gauges {
            page.gauge(name, help, gauge.get());
        }
        for write in &registered.collected {
            write(&mut page);
        }
        page.to_string()
    }
}

/// What is shown at one time. Names, labels and their values are texts of this program's own.
#[derive(Debug, Default)]
pub struct Page(BTreeMap<&'static str, Family>);

#[derive(Debug)]
struct Family {
    kind: &'static str,
    help: &'static str,
    samples: Vec<(String, f64)>,
}

impl Page {
    /// A number that goes up and down.
    pub fn gauge(&mut self, name: &'static str, help: &'static str, value: f64) {
        self.gauge_of(name, help, &[], value);
    }

    /// One of several of a name, told apart by labels.
    pub fn gauge_of(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &'static str)],
        value: f64,
    ) {
        self.sample("gauge", name, help, labels, value);
    }

    /// A number that only grows.
    pub fn counter(&mut self, name: &'static str, help: &'static str, value: u64) {
        self.counter_of(name, help, &[], value);
    }

    /// One of several of a name, told apart by labels.
    pub fn counter_of(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &'static str)],
        value: u64,
    ) {
        #[allow(clippy::cast_precision_loss, reason = "Prometheus has no other numbers")]
        self.sample("counter", name, help, labels, value as f64);
    }

    fn sample(
        &mut self,
        kind: &'static str,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &'static str)],
        value: f64,
    ) {
        let mut text = String::new();
        for (label, value) in labels {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let separator = if text.is_empty() { '{' } else { ',' };
            // A string takes all that is written to it.
            let _ = write!(text, "{separator}{label}=\"{value}\"");
        }
        if !text.is_empty() {
            text.push('}');
        }
        let family = self.0.entry(name).or_insert_with(|| Family { kind, help, samples: Vec::new() });
        family.samples.push((text, value));
    }
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, Family { kind, help, samples }) in &self.0 {
            writeln!(f, "# HELP {name} {help}\n# TYPE {name} {kind}")?;
            for (labels, value) in samples {
                writeln!(f, "{name}{labels} {value}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_each_name_once_with_all_that_is_said_of_it() {
        let metrics = Metrics::default();
        metrics.counter("coxswain_rounds_total", "Rounds.").add(2);
        metrics.counter("coxswain_rounds_total", "Rounds.").increment();
        metrics.gauge("connected_peers_count", "Peers.").set(4.0);
        metrics.collect(|page| {
            page.counter_of("coxswain_faults_total", "Faults.", &[("kind", "a \"b\"\\")], 1);
            page.counter_of(
                "coxswain_faults_total",
                "Faults.",
                &[("kind", "c"), ("more", "d")],
                u64::from(u32::MAX),
            );
        });
        assert_eq!(
            metrics.render(),
            "# HELP connected_peers_count Peers.\n# TYPE connected_peers_count gauge\nconnected_peers_count 4\n\
             # HELP coxswain_faults_total Faults.\n# TYPE coxswain_faults_total counter\n\
             coxswain_faults_total{kind=\"a \\\"b\\\"\\\\\"} 1\n\
             coxswain_faults_total{kind=\"c\",more=\"d\"} 4294967295\n\
             # HELP coxswain_rounds_total Rounds.\n# TYPE coxswain_rounds_total counter\ncoxswain_rounds_total 3\n"
        );
    }
}
