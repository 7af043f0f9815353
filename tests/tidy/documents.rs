//! Documents: links lead somewhere, and the map shows the house.

use crate::sources;

#[test]
fn every_link_leads_to_a_file() {
    for document in sources::files(".md") {
        let folder = document.rsplit_once('/').map_or("", |(folder, _)| folder);
        for (start, _) in sources::read(&document).match_indices("](") {
            let text = sources::read(&document);
            let target =
                text[start + 2..].split(')').next().unwrap_or_default().split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            let path = sources::root().join(folder).join(target);
            assert!(path.exists(), "{document}: the link to `{target}` leads nowhere");
        }
    }
}

#[test]
fn every_folder_stands_in_the_map() {
    let map = sources::read("ARCHITECTURE.md");
    let mut folders: Vec<String> = sources::rust()
        .iter()
        .filter_map(|source| source.path.rsplit_once('/').map(|(folder, _)| folder.to_string()))
        // A module's own tests stand in its folder.
        .filter(|folder| !folder.contains("/src/") || !folder.ends_with("/tests"))
        .collect();
    folders.dedup();
    for folder in folders {
        assert!(map.contains(&format!("`{folder}/`")), "ARCHITECTURE.md does not name `{folder}/`");
    }
}

#[test]
fn every_folder_in_the_map_exists() {
    let map = sources::read("ARCHITECTURE.md");
    for name in map.split('`').skip(1).step_by(2).filter(|name| name.ends_with('/') && !name.contains(' ')) {
        assert!(sources::root().join(name).is_dir(), "ARCHITECTURE.md names `{name}`, which is not there");
    }
}
