//! One instance's place in the line for this machine's GPUs, ports and room.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::Places;
use crate::backend::Diagnosis;
use crate::host::Maker;
use crate::id::{GpuIndex, InstanceName};
use crate::launch::{Gate, Held, Needs, News, NewsSender, Share, WantedGpus};

/// How often it is looked whether something else is waited for, or somebody's turn is over: nobody tells of passing time.
const LOOK: Duration = Duration::from_secs(1);

/// By it the lives of one instance begin.
#[derive(Clone, Debug)]
pub struct Seat {
    places: Places,
    who: InstanceName,
}

/// It cannot start now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPlace {
    /// There is no such GPU.
    #[error("{0}")]
    NoSuchGpu(String),
    /// Another has what it needs.
    #[error("{0}")]
    Taken(String),
}

/// What is wanted, of what there is.
struct Meant {
    gpus: BTreeSet<GpuIndex>,
    variables: Vec<(&'static str, String)>,
}

/// Leaves the line, or gives back, if it is dropped.
struct Leaving(Places, u64);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.leave(self.1);
    }
}

impl Seat {
    /// Of this instance.
    #[must_use]
    pub fn new(places: Places, who: InstanceName) -> Self {
        Self { places, who }
    }

    /// The same of a replica of that model.
    #[must_use]
    pub fn in_group(self, group: InstanceName) -> Self {
        self.places.set_group(&self.who, group);
        self
    }

    /// Keeps what it needs until it is started, which is to follow at once.
    ///
    /// # Errors
    /// Why it cannot start now.
    pub async fn reserve(&self, needs: &Needs) -> Result<(), NoPlace> {
        let meant = self.meant(needs).await.map_err(NoPlace::NoSuchGpu)?;
        self.places.reserve(&self.who, meant.gpus).map_err(NoPlace::Taken)
    }

    /// It is not started after all.
    pub fn unreserve(&self) {
        self.places.unreserve(&self.who);
    }

    /// What a life has that an earlier process let in; where that did not write it down, all GPUs.
    #[must_use]
    pub fn adopt(&self, share: Option<&Share>) -> Held {
        let leaving = Leaving(self.places.clone(), self.places.adopt(&self.who, share));
        Held::new(share.cloned().unwrap_or_default(), Vec::new(), move || drop(leaving))
    }

    async fn meant(&self, needs: &Needs) -> Result<Meant, String> {
        if matches!(&needs.gpus, WantedGpus::These(wanted) if wanted.is_empty()) {
            // Whichever there are: their tool need not be waited for.
            let variables = Maker::ALL.iter().flat_map(|maker| maker.variables()).map(|name| (*name, String::new()));
            return Ok(Meant { gpus: BTreeSet::new(), variables: variables.collect() });
        }
        let Some(known) = self.places.gpus().await else {
            return match &needs.gpus {
                WantedGpus::These(_) if self.places.tool_hangs().await => {
                    Err("the tool that tells of this machine's GPUs (nvidia-smi or rocm-smi) does not answer; run it by hand, and try \
                         again in a minute"
                        .to_owned())
                }
                WantedGpus::These(wanted) => {
                    Err(format!("there is no GPU {} here: neither nvidia-smi nor rocm-smi tells of any", words(wanted)))
                }
                WantedGpus::All | WantedGpus::OfVariable(_) => {
                    Ok(Meant { gpus: BTreeSet::new(), variables: Vec::new() })
                }
            };
        };
        let all = known.indexes();
        let gpus: BTreeSet<GpuIndex> = match &needs.gpus {
            // It sees them as it would without us.
            WantedGpus::All => return Ok(Meant { gpus: all, variables: Vec::new() }),
            WantedGpus::OfVariable(variable) => {
                return Ok(Meant { gpus: known.named_by(variable), variables: Vec::new() });
            }
            WantedGpus::These(wanted) => {
                let unknown: Vec<_> = wanted.iter().filter(|gpu| !all.contains(gpu)).collect();
                if !unknown.is_empty() {
                    return Err(format!("there is no GPU {}; there are {}", words(unknown), words(&all)));
                }
                wanted.iter().copied().collect()
            }
        };
        let value = gpus.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let mut variables: Vec<_> = known.maker.variables().iter().map(|name| (*name, value.clone())).collect();
        variables.extend(known.maker.order().map(|(name, value)| (name, value.to_owned())));
        Ok(Meant { gpus, variables })
    }

    async fn wait(&self, needs: &Needs, news: &NewsSender) -> Result<Held, Diagnosis> {
        let Meant { gpus, variables } = self.meant(needs).await.map_err(no_such_gpu)?;
        let (number, mut answer) = self.places.wait(&self.who, gpus.clone(), needs.ports);
        let leaving = Leaving(self.places.clone(), number);
        let mut told = None;
        let port = loop {
            if let Some(sibling) = self.places.sibling_before(number) {
                return Err(taken_by(&sibling));
            }
            let why = self.places.why(number);
            if why.is_some() && why != told {
                told.clone_from(&why);
                news.send(News::Queued { job: None, reason: why, expected_start: None }).await;
            }
            match tokio::time::timeout(LOOK, &mut answer).await {
                Ok(Ok(port)) => break port?,
                // The ledger answers each.
                Ok(Err(_closed)) => std::future::pending().await,
                Err(_elapsed) => self.places.settle(),
            }
        };
        let share = Share { gpus: gpus.into_iter().collect(), port };
        Ok(Held::new(share, variables, move || drop(leaving)))
    }
}

impl Gate for Seat {
    fn enter<'a>(&'a self, needs: &'a Needs, news: &'a NewsSender) -> BoxFuture<'a, Result<Held, Diagnosis>> {
        self.wait(needs, news).boxed()
    }
}

fn no_such_gpu(summary: String) -> Diagnosis {
    Diagnosis {
        code: "no_such_gpu",
        summary,
        remedy: "name others with `gpus`, or leave it out; what this machine has, `nvidia-smi -L` tells".to_owned(),
    }
}

fn taken_by(sibling: &InstanceName) -> Diagnosis {
    Diagnosis {
        code: "no_gpu_left",
        summary: format!("the GPUs that it needs are those of {sibling}, another replica of its model"),
        remedy: "give each replica GPUs of its own, on several `hosts` or under Slurm; on this machine, serve one"
            .to_owned(),
    }
}

fn words(gpus: impl IntoIterator<Item = impl Display>) -> String {
    gpus.into_iter().map(|gpu| gpu.to_string()).collect::<Vec<_>>().join(", ")
}
