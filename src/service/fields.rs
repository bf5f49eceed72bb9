//! Unknown and repeated fields of what a client sends.

use super::error::{Error, Result};
use crate::wire::validation::fields::{self, Examined, FieldValidation};

/// Checks the fields of a body that is an object of this kind, or a request of this name.
///
/// # Errors
/// [`Error::BadRequest`] for unknown fields of Podberth's own requests, and under `Strict` for any unknown or repeated field. `what` is the
/// name of the body in the error.
pub fn examined<'b>(kind: &str, what: &str, body: &'b [u8], mode: FieldValidation) -> Result<Examined<'b>> {
    let mut examined = fields::examine(kind, "", body);
    if !examined.refused.is_empty() {
        return Err(Error::BadRequest(examined.refused.join(", ")));
    }
    match mode {
        FieldValidation::Strict if !examined.odd.is_empty() => {
            let odd = examined.odd.join(", ");
            return Err(Error::BadRequest(format!("{what}: strict decoding error: {odd}")));
        }
        FieldValidation::Ignore => examined.odd.clear(),
        FieldValidation::Strict | FieldValidation::Warn => {}
    }
    Ok(examined)
}
