//! `catena check`: reads everything, opens no socket.

use std::process::ExitCode;
use std::sync::Arc;

use catena_core::config::{self, BuildContext, Plan, Registry};
use catena_core::counters::Counters;
use catena_core::instance::LoadError;
use catena_core::log::LogSink;
use catena_core::plugin::{Handover, Shared};

use super::flags::Flags;

/// Says what would be served, or all that is wrong.
pub(super) fn run(flags: &Flags, registry: &Registry) -> ExitCode {
    match plan(flags, registry) {
        Ok(plan) => super::say(&describe(&plan)),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn plan(flags: &Flags, registry: &Registry) -> Result<Plan, String> {
    let source = super::source(flags).map_err(|error| error.to_string())?;
    let (log, _lines) = LogSink::captured();
    let context = BuildContext {
        registry,
        shared: &Shared::default(),
        previous: &Handover::default(),
        counters: &Arc::new(Counters::new(1)),
        log: &log,
        workers: 1,
        default_port: flags.port,
        folder: source.folder(),
    };
    let mut errors = match source.load(registry, flags.port) {
        Ok(corefile) => return config::build(&corefile, &context).map_err(|errors| errors.to_string()),
        Err(LoadError::Config(errors)) => errors,
        Err(error) => return Err(error.to_string()),
    };
    // Unknown directives do not hide what is wrong with the known ones.
    if let Ok(corefile) = source.load_any()
        && let Err(more) = config::build(&corefile, &context)
    {
        errors.extend(more);
    }
    Err(errors.to_string())
}

fn describe(plan: &Plan) -> String {
    let mut lines = plan.warnings.clone();
    for listener in &plan.listeners {
        lines.extend(listener.startup_lines());
    }
    for (index, block) in plan.blocks.iter().enumerate() {
        let keys: Vec<String> = block.info.keys.iter().map(ToString::to_string).collect();
        let directives = block.info.directives.join(" ");
        lines.push(format!(
            "block {}: {} through {directives}",
            index + 1,
            keys.join(" ")
        ));
    }
    lines.push("The Corefile is good.".to_owned());
    lines.join("\n")
}
