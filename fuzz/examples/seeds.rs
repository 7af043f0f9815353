//! Writes the seeds of every entry below a directory, a folder for each: `cargo run --example seeds -- corpus`.

fn main() -> std::io::Result<()> {
    let directory = std::env::args().nth(1).unwrap_or_else(|| "corpus".to_string());
    for entry in anabranch_fuzz::entries::ENTRIES {
        let folder = std::path::Path::new(&directory).join(entry.name);
        std::fs::create_dir_all(&folder)?;
        for (number, seed) in (entry.seeds)().iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{number}")), seed)?;
        }
    }
    Ok(())
}
