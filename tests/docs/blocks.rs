//! The fenced blocks of a Markdown text.

/// The comment before a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark<'t> {
    None,
    /// It is not run.
    Skip,
    /// It shows the file of this path.
    File(&'t str),
}

/// A fenced block.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block<'t> {
    /// The text behind the opening fence.
    pub(crate) language: &'t str,
    /// The text between the fences, without the last line feed.
    pub(crate) text: &'t str,
    /// The line of the opening fence, from 1.
    pub(crate) line: usize,
    pub(crate) mark: Mark<'t>,
    /// `true` if only blank lines are between it and the block before.
    pub(crate) follows: bool,
}

/// All blocks in their order.
///
/// # Panics
/// When a fence is not closed.
pub(crate) fn of(text: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let (mut mark, mut follows, mut offset) = (Mark::None, false, 0);
    // Of the block that is open: language, line, and where its text begins.
    let mut open: Option<(&str, usize, usize)> = None;
    for (i, line) in text.split_inclusive('\n').enumerate() {
        let (start, end) = (offset, offset + line.len());
        offset = end;
        let line = line.trim_end();
        match (open, line.strip_prefix("```")) {
            (None, Some(language)) => open = Some((language.trim(), i + 1, end)),
            (Some((language, line, begin)), Some("")) => {
                blocks.push(Block { language, text: text[begin..start].trim_end(), line, mark, follows });
                (open, mark, follows) = (None, Mark::None, true);
            }
            (None, None) if !line.is_empty() => {
                let comment = line.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->"));
                mark = match comment.and_then(|comment| comment.split_once(": ")) {
                    Some(("skip", _)) => Mark::Skip,
                    Some(("file", path)) => Mark::File(path),
                    _ => Mark::None,
                };
                follows = false;
            }
            _ => {}
        }
    }
    assert!(open.is_none(), "a fence is not closed: {open:?}");
    blocks
}

#[test]
fn blocks_and_their_marks() {
    let text = "Text.\n\n```sh\ncurl x\n```\n\n```json part\n{\n}\n```\nText.\n<!-- file: a/b -->\n```yaml\na: 1\n```\n\
                <!-- skip: long -->\n\n```sh\nsleep\n```\n";
    let block = |language, text, line, mark, follows| Block { language, text, line, mark, follows };
    assert_eq!(
        of(text),
        [
            block("sh", "curl x", 3, Mark::None, false),
            block("json part", "{\n}", 7, Mark::None, true),
            block("yaml", "a: 1", 13, Mark::File("a/b"), false),
            block("sh", "sleep", 18, Mark::Skip, false),
        ]
    );
}
