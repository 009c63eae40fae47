//! The plugins' phases around the queries, for all blocks of a configuration.

use std::sync::Arc;

use crate::config::PlannedBlock;
use crate::plugin::{BlockOutline, Lifecycle, Services, StartContext, StartError, StopReason};

/// All [`Lifecycle`]s of one configuration, in the order of blocks and plugins.
#[derive(Default)]
pub(super) struct Lives {
    all: Vec<(Arc<dyn Lifecycle>, Surroundings)>,
}

/// What a block's plugins meet at their start.
#[derive(Clone)]
pub(super) struct Surroundings {
    pub(super) services: Arc<Services>,
    pub(super) outline: Arc<BlockOutline>,
}

impl Lives {
    pub(super) fn new(blocks: &[PlannedBlock]) -> Self {
        let of_block = |block: &PlannedBlock| {
            let surroundings = Surroundings {
                services: Arc::clone(&block.services),
                outline: Arc::clone(&block.outline),
            };
            block
                .lifecycles
                .iter()
                .map(move |life| (Arc::clone(life), surroundings.clone()))
                .collect::<Vec<_>>()
        };
        Self {
            all: blocks.iter().flat_map(of_block).collect(),
        }
    }

    /// Starts all. When one fails, those that were started are stopped again.
    pub(super) async fn start(
        &self,
        context: impl Fn(&Surroundings) -> StartContext,
    ) -> Result<(), StartError> {
        for (index, (life, surroundings)) in self.all.iter().enumerate() {
            if let Err(error) = life.start(&context(surroundings)).await {
                for (started, _) in self.all[..index].iter().rev() {
                    started.stop(StopReason::Failed).await;
                }
                return Err(error);
            }
        }
        Ok(())
    }

    pub(super) async fn started(&self) {
        for (life, _) in &self.all {
            life.started().await;
        }
    }

    /// Tells all at the same time that the end is near, and waits for all.
    pub(super) async fn before_stop(&self, reason: StopReason) {
        let mut waits = tokio::task::JoinSet::new();
        for (life, _) in &self.all {
            let life = Arc::clone(life);
            waits.spawn(async move { life.before_stop(reason).await });
        }
        waits.join_all().await;
    }

    pub(super) async fn stop(&self, reason: StopReason) {
        for (life, _) in self.all.iter().rev() {
            life.stop(reason).await;
        }
    }
}
