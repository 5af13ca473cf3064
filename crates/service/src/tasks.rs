//! A program's tasks, each by its name: which of them it can't do without, and how they all end.

use std::{collections::HashMap, fmt, future::Future, io, time::Duration};

use futures_util::FutureExt;
use tokio::{
    sync::watch,
    task::{AbortHandle, Id, JoinError, JoinSet},
    time::{Instant, timeout_at},
};

/// Why a task has failed.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// All tasks of a program.
#[derive(Debug)]
pub struct Tasks {
    running: JoinSet<Result<(), Failure>>,
    names: HashMap<Id, Task>,
    stop: watch::Sender<bool>,
}

#[derive(Clone, Copy, Debug)]
struct Task {
    name: &'static str,
    critical: bool,
}

/// How a program has ended.
#[derive(Debug)]
pub enum Ending {
    /// It was told to, and all tasks have ended.
    Drained,
    /// It was told to, and these tasks had not ended in time.
    Overdue(Vec<&'static str>),
    /// A task has ended that it can't do without.
    Failed {
        /// The task.
        task: &'static str,
        /// Why.
        why: Failure,
    },
}

impl Ending {
    /// The documented exit code.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Drained => 0,
            Self::Failed { .. } => 4,
            Self::Overdue(_) => 5,
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drained => f.write_str("drained"),
            Self::Overdue(names) => write!(f, "not ended in time: {}", names.join(", ")),
            Self::Failed { task, why } => write!(f, "{task} has ended: {why}"),
        }
    }
}

/// Tells a task to end.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Waits until the task is to end.
    pub async fn requested(&mut self) {
        // If nobody can ask any more, the program ends as well.
        let _ = self.0.wait_for(|stop| *stop).await;
    }

    /// Whether the task is to end.
    #[cfg(test)]
    fn is_requested(&self) -> bool {
        *self.0.borrow()
    }
}

impl Default for Tasks {
    fn default() -> Self {
        Self { running: JoinSet::new(), names: HashMap::new(), stop: watch::Sender::new(false) }
    }
}

impl Tasks {
    /// What tells a task to end.
    pub fn stop(&self) -> Stop {
        Stop(self.stop.subscribe())
    }

    /// Runs a task that the program can't do without: if it ends before it is told to, the program does.
    pub fn critical(
        &mut self,
        name: &'static str,
        task: impl Future<Output = Result<(), Failure>> + Send + 'static,
    ) {
        self.spawn(Task { name, critical: true }, task);
    }

    /// Runs a task whose end is only told.
    pub fn minor(
        &mut self,
        name: &'static str,
        task: impl Future<Output = Result<(), Failure>> + Send + 'static,
    ) {
        self.spawn(Task { name, critical: false }, task);
    }

    fn spawn(&mut self, named: Task, task: impl Future<Output = Result<(), Failure>> + Send + 'static) {
        // In a box: what runs a task is then compiled once, and not for each.
        let handle: AbortHandle = self.running.spawn(task.boxed());
        self.names.insert(handle.id(), named);
    }

    /// Runs all tasks until `asked` is done or one ends that is needed; then tells all to end, and gives them this long.
    pub async fn run(mut self, asked: impl Future<Output = ()>, deadline: Duration) -> Ending {
        let mut asked = std::pin::pin!(asked);
        let failed = loop {
            tokio::select! {
                () = &mut asked => break None,
                Some(ended) = self.running.join_next_with_id() => {
                    let (task, outcome) = self.ended(ended);
                    if task.critical {
                        let why = outcome.err().unwrap_or_else(|| "it had nothing more to do".into());
                        break Some(Ending::Failed { task: task.name, why });
                    }
                    match outcome {
                        Ok(()) => tracing::info!(task = task.name, "ended"),
                        Err(error) => tracing::error!(task = task.name, %error, "ended"),
                    }
                }
            }
        };
        self.stop.send_replace(true);
        let deadline = Instant::now() + deadline;
        while let Ok(Some(ended)) = timeout_at(deadline, self.running.join_next_with_id()).await {
            let (task, outcome) = self.ended(ended);
            match outcome {
                Ok(()) => tracing::debug!(task = task.name, "drained"),
                Err(error) => tracing::error!(task = task.name, %error, "failed while it drained"),
            }
        }
        let mut late: Vec<_> = self.names.values().map(|task| task.name).collect();
        late.sort_unstable();
        self.running.abort_all();
        match failed {
            Some(failed) => failed,
            None if late.is_empty() => Ending::Drained,
            None => Ending::Overdue(late),
        }
    }

    fn ended(&mut self, ended: Result<(Id, Result<(), Failure>), JoinError>) -> (Task, Result<(), Failure>) {
        let (id, outcome) = match ended {
            Ok((id, outcome)) => (id, outcome),
            Err(error) => (error.id(), Err(error.into())),
        };
        let task = self.names.remove(&id).unwrap_or(Task { name: "a task", critical: true });
        (task, outcome)
    }
}

/// Waits for SIGINT or SIGTERM.
///
/// # Errors
/// If they can't be listened for.
pub fn signal() -> io::Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        Ok(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        })
    }
    #[cfg(not(unix))]
    Ok(async {
        // Nothing can be done about it: then the program runs until it is killed.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(20);

    async fn told(mut stop: Stop) -> Result<(), Failure> {
        stop.requested().await;
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn told_to_end_all_tasks_do() {
        let mut tasks = Tasks::default();
        tasks.critical("one", told(tasks.stop()));
        let mut stop = tasks.stop();
        tasks.minor("two", async move {
            stop.requested().await;
            tokio::time::sleep(DEADLINE).await;
            Ok(())
        });
        let ending = tasks.run(ready(()), DEADLINE + Duration::from_millis(1)).await;
        assert!(matches!(ending, Ending::Drained), "{ending}");
        assert_eq!(ending.exit_code(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_not_ended_by_the_deadline_is_named() {
        let mut tasks = Tasks::default();
        tasks.critical("one", told(tasks.stop()));
        tasks.minor("two", pending());
        let ending = tasks.run(ready(()), DEADLINE).await;
        assert_eq!((ending.exit_code(), ending.to_string().as_str()), (5, "not ended in time: two"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_in_a_critical_task_ends_all_and_in_a_minor_one_nothing() {
        let mut tasks = Tasks::default();
        let (tell, told_first) = tokio::sync::oneshot::channel::<()>();
        let stop = tasks.stop();
        tasks.critical("one", told(stop.clone()));
        tasks.minor("two", async move {
            let _tell = tell;
            panic!("as a library might")
        });
        tasks.critical("three", async {
            let _ = told_first.await;
            panic!("as a library might")
        });
        let ending = tasks.run(pending(), DEADLINE).await;
        assert!(stop.is_requested(), "the others are told");
        assert_eq!(ending.exit_code(), 4);
        assert!(ending.to_string().starts_with("three has ended"), "{ending}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_critical_task_may_not_end_early_at_all() {
        for outcome in [Ok(()), Err("no more".into())] {
            let mut tasks = Tasks::default();
            tasks.critical("one", ready(outcome));
            assert_eq!(tasks.run(pending(), DEADLINE).await.exit_code(), 4);
        }
    }
}
