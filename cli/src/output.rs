//! Tables as Kafka's tools print them, and the same as JSON.

use serde_json::Value;

/// Rows under names; every cell is text, and a number where JSON has one.
#[derive(Debug, Default)]
pub(crate) struct Table {
    columns: Vec<&'static str>,
    rows: Vec<Vec<Value>>,
}

/// The narrowest column.
const MIN_WIDTH: usize = 10;

impl Table {
    pub(crate) fn new(columns: &[&'static str]) -> Table {
        Table { columns: columns.to_vec(), rows: Vec::new() }
    }

    pub(crate) fn push(&mut self, row: Vec<Value>) {
        self.rows.push(row);
    }

    /// Columns of equal width, a header first.
    pub(crate) fn text(&self) -> String {
        let cells: Vec<Vec<String>> = self.rows.iter().map(|row| row.iter().map(cell).collect()).collect();
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|at| {
                let longest = cells.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
                longest.max(self.columns[at].len()).max(MIN_WIDTH)
            })
            .collect();
        let header: Vec<String> = self.columns.iter().map(|column| (*column).to_string()).collect();
        let mut text = String::new();
        for row in std::iter::once(&header).chain(&cells) {
            let line: Vec<String> =
                row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            text.push_str(line.join(" ").trim_end());
            text.push('\n');
        }
        text
    }

    /// An array of objects, keys in small letters with underscores.
    pub(crate) fn json(&self) -> Value {
        let key = |column: &str| column.trim_start_matches('#').to_ascii_lowercase().replace(['-', ' '], "_");
        let rows = self.rows.iter().map(|row| {
            let fields = self.columns.iter().zip(row).map(|(column, cell)| (key(column), cell.clone()));
            Value::Object(fields.collect())
        });
        Value::Array(rows.collect())
    }

    pub(crate) fn print(&self, as_json: bool) {
        if as_json {
            println!("{}", self.json());
        } else {
            print!("{}", self.text());
        }
    }
}

/// A cell; what is not known is a dash, as in Kafka.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_string(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_must_be() {
        let mut table = Table::new(&["GROUP", "LAG", "CONSUMER-ID"]);
        table.push(vec!["a-long-group-name".into(), 7.into(), Value::Null]);
        assert_eq!(
            table.text(),
            "GROUP             LAG        CONSUMER-ID\na-long-group-name 7          -\n"
        );
        let json = r#"[{"group":"a-long-group-name","lag":7,"consumer_id":null}]"#;
        assert_eq!(table.json(), serde_json::from_str::<Value>(json).unwrap());
    }
}
