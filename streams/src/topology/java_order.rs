//! Orders that Java's collections give: `describe()` prints what Java prints, and some of it comes out of hash sets.

use std::cmp::Ordering;

/// In which order a `HashSet` or `HashMap` that has grown to hold these keys walks over them.
pub(super) fn of_grown_set<'a>(keys: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let keys: Vec<&str> = keys.into_iter().collect();
    let mut capacity = 16;
    while keys.len() * 4 > capacity * 3 {
        capacity *= 2;
    }
    order(keys, capacity)
}

/// In which order `new HashSet<>(keys)` walks over the keys, which come in the order of a set that has grown.
pub(super) fn of_copied_set<'a>(keys: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let keys = of_grown_set(keys);
    let capacity = (keys.len() * 4 / 3 + 1).max(16).next_power_of_two();
    order(keys, capacity)
}

fn order(mut keys: Vec<&str>, capacity: usize) -> Vec<&str> {
    // Within a bucket the order of insertion holds, also when the table grows: a stable sort.
    keys.sort_by_key(|key| {
        let hash = hash_code(key);
        (hash ^ (hash >> 16)) as usize & (capacity - 1)
    });
    keys
}

/// `String.hashCode()`.
fn hash_code(text: &str) -> u32 {
    text.encode_utf16().fold(0, |hash: u32, unit| hash.wrapping_mul(31).wrapping_add(u32::from(unit)))
}

/// A `TreeSet` whose comparator may answer differently later: each element stays where it was put, below those it was
/// compared with.
pub(super) struct TreeOrder {
    nodes: Vec<TreeNode>,
}

struct TreeNode {
    element: usize,
    less: Option<usize>,
    greater: Option<usize>,
}

impl TreeOrder {
    pub(super) fn new() -> Self {
        TreeOrder { nodes: Vec::new() }
    }

    pub(super) fn insert(&mut self, element: usize, compare: impl Fn(usize, usize) -> Ordering) {
        let new = self.nodes.len();
        let mut at = 0;
        while at < new {
            let side = match compare(element, self.nodes[at].element) {
                Ordering::Less => &mut self.nodes[at].less,
                Ordering::Greater => &mut self.nodes[at].greater,
                Ordering::Equal => return,
            };
            at = *side.get_or_insert(new);
        }
        self.nodes.push(TreeNode { element, less: None, greater: None });
    }

    /// The elements in order.
    pub(super) fn elements(&self) -> Vec<usize> {
        let mut all = Vec::with_capacity(self.nodes.len());
        self.walk(if self.nodes.is_empty() { None } else { Some(0) }, &mut all);
        all
    }

    fn walk(&self, at: Option<usize>, all: &mut Vec<usize>) {
        if let Some(node) = at.map(|at| &self.nodes[at]) {
            self.walk(node.less, all);
            all.push(node.element);
            self.walk(node.greater, all);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_hash_as_in_java() {
        assert_eq!(hash_code(""), 0);
        assert_eq!(hash_code("abc"), 96_354);
        assert_eq!(hash_code("KSTREAM-SOURCE-0000000000") as i32, {
            "KSTREAM-SOURCE-0000000000"
                .bytes()
                .fold(0i32, |h, b| h.wrapping_mul(31).wrapping_add(i32::from(b)))
        });
    }

    #[test]
    fn sets_walk_by_bucket_then_by_insertion() {
        // Hashes 97, 98, 113 ("a", "b", "q"): buckets 1, 2, 1 of 16.
        assert_eq!(of_grown_set(["q", "b", "a"]), ["q", "a", "b"]);
        assert_eq!(of_grown_set(["a", "q", "b"]), ["a", "q", "b"]);
        // Thirteen keys have grown the table to 32 buckets, which parts "a" (1) from "q" (17).
        let many = ["q", "b", "a", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
        let order = of_grown_set(many);
        assert_eq!((order[0], order[12]), ("a", "q"));
    }

    #[test]
    fn a_tree_keeps_what_was_compared() {
        let mut tree = TreeOrder::new();
        for element in [3, 1, 2, 3] {
            tree.insert(element, |a, b| a.cmp(&b));
        }
        assert_eq!(tree.elements(), [1, 2, 3]);
    }
}
