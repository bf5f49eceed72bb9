//! The columns of a kind's table: what `kubectl get` prints of its objects.
//!
//! Source: `pkg/printers/internalversion/printers.go` (columns and cells), `apimachinery/pkg/util/duration/duration.go`
//! (ages), `apiserver/pkg/registry/rest/table.go` (kinds without columns of their own).

use jiff::Timestamp;
use serde_json::Value;

use super::StoredKind;

/// A column of a kind's table.
#[derive(Debug)]
pub struct Column {
    /// Its heading: `Internal-IP`.
    pub name: &'static str,
    /// The OpenAPI type of its cells: `string`, `integer`, `boolean` or `date`.
    pub of: &'static str,
    /// `name` for the object's name, else empty.
    pub format: &'static str,
    /// 0 for what is always printed, 1 for what is printed in wide tables.
    pub priority: i32,
    /// The source of its cells.
    pub cell: Cell,
}

/// The source of a cell in an object. Paths are JSON pointers.
#[derive(Debug)]
pub enum Cell {
    /// The text at a path; the other text where it is absent or empty.
    Text(&'static str, &'static str),
    /// The whole number at a path; the other number where it is absent.
    Number(&'static str, i64),
    /// The truth at a path; the other one where it is absent.
    Truth(&'static str, bool),
    /// The number of entries of the lists and maps at these paths.
    Count(&'static [&'static str]),
    /// The time since the instant at a path.
    Age(&'static str),
    /// The result of a function of the object and the time.
    Made(fn(&Value, Timestamp) -> Value),
}

/// Cells without a value.
pub(super) const NONE: &str = "<none>";
pub(super) const UNKNOWN: &str = "<unknown>";
pub(super) const UNSET: &str = "<unset>";

/// The column of names, first in most tables.
pub(super) const NAME: Column = Column { format: "name", ..column("Name", "string", Cell::Text("/metadata/name", "")) };

/// The column of ages.
pub(super) const AGE: Column = column("Age", "string", Cell::Age("/metadata/creationTimestamp"));

/// The column of creation times, of kinds without columns of their own.
pub(super) const CREATED: Column = column("Created At", "date", Cell::Text("/metadata/creationTimestamp", ""));

/// A column that is always printed.
pub(super) const fn column(name: &'static str, of: &'static str, cell: Cell) -> Column {
    Column { name, of, format: "", priority: 0, cell }
}

/// A column of wide tables.
pub(super) const fn wide(name: &'static str, cell: Cell) -> Column {
    Column { name, of: "string", format: "", priority: 1, cell }
}

impl StoredKind {
    /// The cells of an object as it is stored, in the order of the columns.
    pub fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        self.columns.iter().map(|column| column.cell.of(object, now)).collect()
    }
}

impl Cell {
    fn of(&self, object: &Value, now: Timestamp) -> Value {
        match self {
            Self::Text(path, otherwise) => text(object, path).unwrap_or(otherwise).into(),
            Self::Number(path, otherwise) => object.pointer(path).and_then(Value::as_i64).unwrap_or(*otherwise).into(),
            Self::Truth(path, otherwise) => object.pointer(path).and_then(Value::as_bool).unwrap_or(*otherwise).into(),
            Self::Count(paths) => paths.iter().map(|path| count(object, path)).sum::<usize>().into(),
            Self::Age(path) => age(object, path, now).into(),
            Self::Made(make) => make(object, now),
        }
    }
}

/// The text at a path that is not empty.
pub(super) fn text<'o>(object: &'o Value, path: &str) -> Option<&'o str> {
    object.pointer(path).and_then(Value::as_str).filter(|text| !text.is_empty())
}

fn count(object: &Value, path: &str) -> usize {
    match object.pointer(path) {
        Some(Value::Array(list)) => list.len(),
        Some(Value::Object(map)) => map.len(),
        _ => 0,
    }
}

/// The instant at a path.
pub(super) fn instant(object: &Value, path: &str) -> Option<Timestamp> {
    text(object, path)?.parse().ok()
}

/// The time since the instant at a path, in words.
pub(super) fn age(object: &Value, path: &str, now: Timestamp) -> String {
    instant(object, path).map_or_else(|| UNKNOWN.into(), |then| elapsed(then, now))
}

/// The time between two instants, in two units at most; the smaller unit is left out where it does not matter.
pub(super) fn elapsed(from: Timestamp, to: Timestamp) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    const YEAR: i64 = 365 * DAY;
    let seconds = to.as_second().saturating_sub(from.as_second());
    let two = |large: i64, unit: &str, small: i64, less: &str| {
        if small == 0 { format!("{large}{unit}") } else { format!("{large}{unit}{small}{less}") }
    };
    match seconds {
        ..-1 => "<invalid>".into(),
        -1..0 => "0s".into(),
        0..120 => format!("{seconds}s"),
        120..600 => two(seconds / MINUTE, "m", seconds % MINUTE, "s"),
        600..10_800 => format!("{}m", seconds / MINUTE),
        10_800..28_800 => two(seconds / HOUR, "h", seconds / MINUTE % 60, "m"),
        28_800..172_800 => format!("{}h", seconds / HOUR),
        172_800..691_200 => two(seconds / DAY, "d", seconds / HOUR % 24, "h"),
        691_200..63_072_000 => format!("{}d", seconds / DAY),
        63_072_000..252_288_000 => two(seconds / YEAR, "y", seconds / DAY % 365, "d"),
        _ => format!("{}y", seconds / YEAR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_told_in_two_units_as_long_as_the_smaller_one_matters() {
        let cases = [
            (-5, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (305, "5m5s"),
            (600, "10m"),
            (10_799, "179m"),
            (10_800, "3h"),
            (11_100, "3h5m"),
            (28_800, "8h"),
            (172_799, "47h"),
            (172_800, "2d"),
            (180_000, "2d2h"),
            (691_200, "8d"),
            (63_072_000, "2y"),
            (63_158_400, "2y1d"),
            (252_288_000, "8y"),
        ];
        let then = Timestamp::UNIX_EPOCH;
        for (seconds, told) in cases {
            let now = Timestamp::from_second(seconds).expect("an instant");
            assert_eq!(elapsed(then, now), told, "{seconds}");
        }
    }
}
