//! Files of tokens, as kube-apiserver's `--token-auth-file` reads them: `token,user,uid,"group1,group2"` on each line. In place of a
//! token there may be `sha256:` and its digest.
//!
//! Source: `apiserver/pkg/authentication/token/tokenfile/tokenfile.go`.

use std::{collections::HashMap, sync::Arc};

use super::token::{TokenDigest, digest, parse_digest};
use podberth_core::access::{AUTHENTICATED, User};

/// Reads a file of tokens.
///
/// # Errors
/// The first line that cannot be read, without its content.
pub fn parse(text: &str) -> Result<HashMap<TokenDigest, Arc<User>>, String> {
    let mut tokens = HashMap::new();
    for (at, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let wrong = |why: &str| format!("line {}: {why}", at + 1);
        let columns = columns(line).ok_or_else(|| wrong("a quotation mark has no end"))?;
        let [token, user, uid, rest @ ..] = columns.as_slice() else {
            return Err(wrong("expected token,user,uid and perhaps groups in quotation marks"));
        };
        let (token, user) = (token.trim(), user.trim());
        if token.is_empty() || user.is_empty() {
            return Err(wrong("the token or the user is empty"));
        }
        let key = match token.strip_prefix("sha256:") {
            Some(hex) => parse_digest(hex).ok_or_else(|| wrong("sha256: needs 64 hexadecimal digits"))?,
            None => digest(token),
        };
        let groups = rest.first().map(String::as_str).unwrap_or_default();
        let groups = groups.split(',').map(str::trim).filter(|group| !group.is_empty() && *group != AUTHENTICATED);
        let user = User { uid: uid.trim().to_owned(), ..User::new(user, groups.chain([AUTHENTICATED])) };
        if tokens.insert(key, Arc::new(user)).is_some() {
            return Err(wrong("this token stands in the file already"));
        }
    }
    Ok(tokens)
}

/// The columns of a line of CSV; `None` where a quotation mark has no end.
fn columns(line: &str) -> Option<Vec<String>> {
    let mut columns = vec![String::new()];
    let mut characters = line.chars().peekable();
    let mut is_quoted = false;
    while let Some(character) = characters.next() {
        let column = columns.last_mut()?;
        match character {
            '"' if is_quoted && characters.peek() == Some(&'"') => {
                characters.next();
                column.push('"');
            }
            '"' if is_quoted => is_quoted = false,
            '"' if column.trim().is_empty() => {
                column.clear();
                is_quoted = true;
            }
            ',' if !is_quoted => columns.push(String::new()),
            other => column.push(other),
        }
    }
    (!is_quoted).then_some(columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_as_the_api_server_reads_them() {
        let hex = digest("second").map(|byte| format!("{byte:02x}")).concat();
        let file = format!("first,ann,1\n\nsha256:{hex}, bob ,2,\"dev, ops\"\n\"a,\"\"b\",cid,3,\n");
        let tokens = parse(&file).expect("a file of tokens");
        let of = |token: &str| tokens.get(&digest(token)).map(|user| (user.name.to_string(), user.groups.join(" ")));
        assert_eq!(of("first"), Some(("ann".into(), AUTHENTICATED.into())));
        assert_eq!(of("second"), Some(("bob".into(), format!("dev ops {AUTHENTICATED}"))));
        assert_eq!(of("a,\"b"), Some(("cid".into(), AUTHENTICATED.into())));
        for (wrong, why) in [
            ("token,user", "expected token,user,uid"),
            ("a,b,c\n,u,1", "line 2: the token or the user is empty"),
            ("sha256:12,u,1", "64 hexadecimal digits"),
            ("t,u,1,\"x", "has no end"),
            ("t,u,1\nt,v,2", "line 2: this token stands in the file already"),
        ] {
            let error = parse(wrong).expect_err(wrong);
            assert!(error.contains(why) && !error.contains("token,user,1"), "{error}");
        }
    }
}
