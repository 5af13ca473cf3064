//! The README's commands that hold in the world, and in the devnet: its blocks that are fenced `sh world` and `sh devnet`. What is
//! printed, and tested, is what is documented.

const README: &str = include_str!("../../../README.md");
const FENCE: &str = "```";

/// Where commands hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The world.
    World,
    /// The devnet.
    Devnet,
}

impl Place {
    const fn fence(self) -> &'static str {
        match self {
            Self::World => "sh world",
            Self::Devnet => "sh devnet",
        }
    }
}

/// Commands as the README has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commands {
    /// A script for a POSIX shell.
    pub script: String,
    /// What it exits with: 0 unless the fence says `exit=`.
    pub exit_code: i32,
}

/// The commands that hold there, in the README's order.
pub fn commands(place: Place) -> Vec<Commands> {
    commands_of(README, place.fence())
}

fn commands_of(text: &str, fence: &str) -> Vec<Commands> {
    let mut commands = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(kind) = line.strip_prefix(FENCE) else { continue };
        let block: Vec<_> = lines.by_ref().take_while(|line| *line != FENCE).collect();
        if let Some(more) = kind.strip_prefix(fence) {
            let exit_code = more.trim().strip_prefix("exit=").map_or(Ok(0), str::parse);
            let exit_code = exit_code.expect("the README is tested with the commands in it");
            commands.push(Commands { script: block.join("\n"), exit_code });
        }
    }
    commands
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_the_blocks_of_their_kind_each_with_its_exit_code() {
        let text = "# A\n```sh\nmake\n```\n```sh world\na\nb\n```\ntext\n```json\n{}\n```\n```sh world exit=3\nc\n```\n";
        let of = |script: &str, exit_code| Commands { script: script.to_owned(), exit_code };
        assert_eq!(commands_of(text, "sh world"), [of("a\nb", 0), of("c", 3)]);
    }

    #[test]
    fn the_readme_has_commands_for_both() {
        assert!(commands(Place::World).len() >= 5, "{:?}", commands(Place::World));
        assert!(!commands(Place::Devnet).is_empty());
        assert!(commands(Place::World).iter().any(|block| block.exit_code != 0));
    }
}
