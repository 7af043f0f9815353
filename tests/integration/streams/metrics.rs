//! What a running application counts, as a scrape finds it.

use anabranch::prelude::*;

use super::{App, count, keep, told};

/// The value of a sample, by its name and labels as they are written.
fn value(text: &str, sample: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok())
}

#[tokio::test]
async fn what_was_done_is_counted() -> Result<()> {
    let app = App::new("metrics");
    let running = app.streams(app.word_count()).create_topics(1).start().await?;
    count(&running, app.lines(), &["to be", "or not", "to be"]).await?;
    let text = running.metrics();
    let id = app.id();
    let thread = format!("{{thread_id=\"{id}-StreamThread-1\"}}");
    let topic = |name: &str| format!("{{topic=\"{id}-{name}\"}}");
    let repartition = topic("word-counts-repartition");
    for (sample, expected) in [
        ("kafka_streams_client_state{state=\"RUNNING\"}".to_string(), 1.0),
        ("kafka_streams_alive_stream_threads".to_string(), 1.0),
        ("kafka_streams_failed_stream_threads_total".to_string(), 0.0),
        // Lines, then words.
        (format!("kafka_streams_thread_process_total{thread}"), 9.0),
        (format!("kafka_streams_thread_task_created_total{thread}"), 2.0),
        (format!("kafka_streams_topic_records_consumed_total{}", topic("lines")), 3.0),
        (format!("kafka_streams_topic_records_consumed_total{repartition}"), 6.0),
        (format!("kafka_streams_topic_records_produced_total{repartition}"), 6.0),
        ("kafka_streams_task_restore_remaining_records{task_id=\"1_0\"}".to_string(), 0.0),
        ("kafka_streams_task_dropped_records_total{task_id=\"1_0\",reason=\"null_key\"}".to_string(), 0.0),
        ("kafka_streams_state_num_keys{task_id=\"1_0\",store=\"word-counts\"}".to_string(), 4.0),
    ] {
        assert_eq!(value(&text, &sample), Some(expected), "{sample} in\n{text}");
    }
    // Lines are read by a source, words leave by a sink; words are read, and counts leave.
    let ages = "kafka_streams_processor_node_record_e2e_latency";
    let of_nodes = |what: &str, task: &str| -> Vec<f64> {
        let begins = format!("{ages}_{what}{{task_id=\"{task}\",processor_node_id=");
        let lines = text.lines().filter(|line| line.starts_with(&begins));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect()
    };
    let mut records = of_nodes("records_total", "0_0");
    records.sort_by(f64::total_cmp);
    assert_eq!(records, [3.0, 6.0], "{text}");
    assert!(of_nodes("records_total", "1_0").contains(&6.0), "{text}");
    // Nodes come in any order, and another in each family.
    let (lowest, highest) = (of_nodes("min_seconds", "1_0"), of_nodes("max_seconds", "1_0"));
    let most = |ages: &[f64]| ages.iter().copied().fold(f64::NAN, f64::max);
    assert!(lowest.iter().all(|age| *age >= 0.0) && most(&lowest) <= most(&highest), "{text}");
    assert!(highest.iter().all(|age| *age < 60.0), "{text}");
    let commits = format!("kafka_streams_thread_commit_latency_seconds_count{thread}");
    assert!(value(&text, &commits) >= Some(1.0), "{text}");
    assert!(text.ends_with("# EOF\n"));
    running.close().await
}

#[tokio::test]
async fn a_dropped_record_is_counted_with_its_reason() -> Result<()> {
    let app = App::new("dropped");
    let builder = StreamsBuilder::new();
    builder.stream(app.lines()).try_map_values(|text| text.parse::<i64>()).for_each(|_, _| {});
    let streams = app.streams(builder.build()?).create_topics(1).on_processing_error(skip());
    let running = streams.start().await?;
    count(&running, app.lines(), &["1", "two", "3", "four"]).await?;
    let text = running.metrics();
    let failed = "kafka_streams_task_dropped_records_total{task_id=\"0_0\",reason=\"failed\"}";
    assert_eq!(value(&text, failed), Some(2.0), "{text}");
    running.close().await
}

#[tokio::test]
async fn what_it_does_is_in_spans() -> Result<()> {
    told::collect();
    let app = App::new("spans");
    let directory = tempfile::tempdir().expect("a directory");
    for _ in 0..2 {
        let running = keep(app.streams(app.word_count()), directory.path()).start().await?;
        count(&running, app.lines(), &["to be"]).await?;
        running.close().await?;
    }
    let spans = told::spans();
    for name in ["poll", "process", "commit", "restore", "rebalance"] {
        assert!(spans.contains(name), "{name} {spans:?}");
    }
    Ok(())
}
