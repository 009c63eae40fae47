//! `catena fmt`: the Corefile in canonical layout.

use std::io::{Read, Write};
use std::path::Path;
use std::process::ExitCode;

use super::flags::Flags;

/// Prints the Corefile in canonical layout, or writes it back.
pub(super) fn run(flags: &Flags, write: bool) -> ExitCode {
    let name = if flags.conf.is_empty() {
        "Corefile"
    } else {
        &flags.conf
    };
    match format(name, write) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn format(name: &str, write: bool) -> std::io::Result<()> {
    let text = if name == "stdin" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        text
    } else {
        std::fs::read_to_string(name)?
    };
    let formatted = catena_core::corefile::format(&text);
    if !write || name == "stdin" {
        return std::io::stdout().write_all(formatted.as_bytes());
    }
    if formatted == text {
        Ok(())
    } else {
        replace(Path::new(name), &formatted)
    }
}

/// Replaces a file in one step: a server that watches it sees the old text or the new one, never half of it.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let path = path.canonicalize()?;
    let mut temporary = path.clone().into_os_string();
    temporary.push(".catena-fmt");
    std::fs::write(&temporary, text)?;
    std::fs::set_permissions(&temporary, std::fs::metadata(&path)?.permissions())?;
    std::fs::rename(&temporary, &path)
}
