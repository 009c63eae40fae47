//! *root* sets the folder that relative paths of a server block start from.
//!
//! ```text
//! root PATH
//! ```

#![forbid(unsafe_code)]

mod config;

use std::fs;
use std::io::ErrorKind;

use catena_core::corefile::ConfigErrors;
use catena_core::plugin::{Definition, Setup};

/// The plugin, for the server's list.
pub static PLUGIN: Definition = Definition::new("root", setup);

fn setup(setup: &mut Setup<'_>) -> Result<(), ConfigErrors> {
    let Some(written) = config::parse(setup.directives())? else {
        return Ok(());
    };
    let root = written.path(&setup.block().folder)?;
    match fs::metadata(&root) {
        Ok(_) => {}
        // The folder may appear later, but a typing error is more likely.
        Err(error) if error.kind() == ErrorKind::NotFound => {
            setup.warn(
                written.span(),
                format_args!("Root path does not exist: {written}"),
            );
        }
        Err(error) => {
            return Err(written
                .error(format!("unable to access root path `{written}`: {error}"))
                .into());
        }
    }
    setup.settings().root = Some(root);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use catena_core::plugin::testing::set_up;

    use super::*;

    #[test]
    fn the_last_root_holds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display();
        let block = set_up(&[PLUGIN], &format!("root nosuchfolder\nroot \"{path}\"")).unwrap();
        assert_eq!(block.settings.root.as_deref(), Some(folder.path()));
        assert_eq!(block.warnings, [""; 0]);
        assert!(block.chain.is_empty());
    }

    #[test]
    fn a_missing_folder_is_warned_about() {
        let block = set_up(&[PLUGIN], "root nosuchfolder").unwrap();
        assert_eq!(block.settings.root.as_deref(), Some(Path::new("nosuchfolder")));
        assert_eq!(
            block.warnings,
            ["[WARNING] plugin/root: Root path does not exist: nosuchfolder"]
        );
    }

    #[test]
    fn a_folder_that_cannot_be_looked_at_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().join("below").display().to_string();
        let errors = set_up(&[PLUGIN], &format!("root {path}")).unwrap_err();
        let headline = errors.as_slice()[0].headline();
        let start = format!("Corefile:1:6: plugin/root: unable to access root path `{path}`: ");
        assert!(headline.starts_with(&start), "{headline}");
    }
}
