//! `--print-config`: the settings in force, as a file for `--config`.

use clap::{ArgMatches, Command};
use serde_json::{Map, Value};

use super::{database, is_setting};

/// The settings of a command, in the order of its help. No password is among them: what is secret is in files, which are named, or in the URL
/// of the database.
pub(super) fn settings(command: &Command, given: &ArgMatches) -> String {
    let mut shown = Map::new();
    for argument in command.get_arguments() {
        let Some(name) = argument.get_long().filter(|name| is_setting(argument, name)) else { continue };
        let Ok(Some(mut values)) = given.try_get_raw(argument.get_id().as_str()) else { continue };
        let Some(value) = values.next() else { continue };
        let text = database::without_password(&value.to_string_lossy());
        shown.insert(name.to_owned(), Value::String(text));
    }
    serde_saphyr::to_string(&shown).unwrap_or_default()
}
