//! Tables as Kafka's tools print them, and the same as JSON.

use serde_json::Value;

use crate::style::heading;

/// Rows under names; every cell is text, and a number where JSON has one.
#[derive(Debug, Default)]
pub(crate) struct Table {
    columns: Vec<&'static str>,
    /// How wide each is at least.
    widths: Vec<usize>,
    rows: Vec<Vec<Value>>,
}

impl Table {
    /// Columns that are as wide as they must be.
    pub(crate) fn new(columns: &[&'static str]) -> Table {
        Table { columns: columns.to_vec(), widths: vec![0; columns.len()], rows: Vec::new() }
    }

    /// Columns that are at least so wide, as they are in Kafka's tool.
    pub(crate) fn aligned(columns: &[(&'static str, usize)]) -> Table {
        let (columns, widths) = columns.iter().copied().unzip();
        Table { columns, widths, rows: Vec::new() }
    }

    pub(crate) fn push(&mut self, row: Vec<Value>) {
        self.rows.push(row);
    }

    /// Columns side by side, a header first. Behind the last one nothing is filled up that needs no width.
    pub(crate) fn text(&self) -> String {
        let cells: Vec<Vec<String>> =
            self.rows.iter().map(|row| row.iter().map(|value| cell(value, "-")).collect()).collect();
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|at| {
                let longest = cells.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
                match at + 1 == self.columns.len() {
                    true => self.widths[at],
                    false => longest.max(self.columns[at].len()).max(self.widths[at]),
                }
            })
            .collect();
        let header: Vec<String> = self.columns.iter().map(|column| (*column).to_string()).collect();
        let mut text = String::new();
        for row in std::iter::once(&header).chain(&cells) {
            let line: Vec<String> =
                row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            text.push_str(&line.join(" "));
            text.push('\n');
        }
        text
    }

    /// As some of Kafka's tools print them: a tab after every cell, no narrowest column, `None` for what is not there.
    fn tabbed_text(&self) -> String {
        let header: Vec<String> = self.columns.iter().map(|column| (*column).to_string()).collect();
        let mut lines = vec![header];
        lines.extend(self.rows.iter().map(|row| row.iter().map(|value| cell(value, "None")).collect()));
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|at| lines.iter().map(|line| line[at].chars().count()).max().unwrap_or(0))
            .collect();
        let mut text = String::new();
        for line in &lines {
            for (cell, width) in line.iter().zip(&widths) {
                text.push_str(&format!("{cell:<width$}\t"));
            }
            text.push('\n');
        }
        text
    }

    /// An array of objects, keys in small letters with underscores.
    pub(crate) fn json(&self) -> Value {
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
            print_text(&self.text());
        }
    }

    pub(crate) fn print_tabbed(&self, as_json: bool) {
        if as_json {
            println!("{}", self.json());
        } else {
            print_text(&self.tabbed_text());
        }
    }
}

/// Prints a table; its header, the first line, stands out on a terminal.
fn print_text(text: &str) {
    let (header, rows) = text.split_once('\n').unwrap_or((text, ""));
    print!("{}\n{rows}", heading(header));
}

/// The name of a column as a key: `CONSUMER-ID` and `ConsumerId` are `consumer_id`.
pub(crate) fn key(column: &str) -> String {
    let mut key = String::new();
    let mut was_small = false;
    for letter in column.chars() {
        let is_word = letter.is_ascii_alphanumeric();
        if (!is_word || (was_small && letter.is_ascii_uppercase())) && !key.is_empty() && !key.ends_with('_')
        {
            key.push('_');
        }
        if is_word {
            key.push(letter.to_ascii_lowercase());
        }
        was_small = letter.is_ascii_lowercase();
    }
    key.trim_end_matches('_').to_string()
}

/// A cell; `absent` is what is not known.
fn cell(value: &Value, absent: &str) -> String {
    match value {
        Value::Null => absent.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(all) => all.iter().map(|one| cell(one, absent)).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_must_be() {
        let check = |columns: &[(&'static str, usize)], expected: &str| {
            let mut table = Table::aligned(columns);
            table.push(vec!["a-long-group-name".into(), 7.into(), Value::Null]);
            assert_eq!(table.text(), expected);
        };
        let unfilled = "GROUP             LAG        CONSUMER-ID\na-long-group-name 7          -\n";
        check(&[("GROUP", 15), ("LAG", 10), ("CONSUMER-ID", 0)], unfilled);
        let filled = "GROUP             LAG CONSUMER-ID    \na-long-group-name 7   -              \n";
        check(&[("GROUP", 15), ("LAG", 3), ("CONSUMER-ID", 15)], filled);
        let mut table = Table::new(&["GROUP", "LAG", "CONSUMER-ID"]);
        table.push(vec!["a-long-group-name".into(), 7.into(), Value::Null]);
        let json = r#"[{"group":"a-long-group-name","lag":7,"consumer_id":null}]"#;
        assert_eq!(table.json(), serde_json::from_str::<Value>(json).unwrap());
    }

    #[test]
    fn tabs_follow_every_cell_where_kafka_sets_them() {
        let mut table = Table::new(&["ProducerId", "TopicPartitions", "Start"]);
        table.push(vec![7.into(), Value::Array(vec!["a-0".into(), "b-1".into()]), Value::Null]);
        assert_eq!(
            table.tabbed_text(),
            "ProducerId\tTopicPartitions\tStart\t\n7         \ta-0,b-1        \tNone \t\n"
        );
    }

    #[test]
    fn keys_are_words_in_small_letters() {
        let check = |column: &str, expected: &str| assert_eq!(key(column), expected);
        check("CONSUMER-ID", "consumer_id");
        check("#PARTITIONS", "partitions");
        check("LatestCoordinatorEpoch", "latest_coordinator_epoch");
        check("CurrentTransactionStartTimeMs", "current_transaction_start_time_ms");
        check("Duration(min)", "duration_min");
    }
}
