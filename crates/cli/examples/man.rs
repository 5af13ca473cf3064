//! Writes the program's man pages, one for each command, into the folder that is given. `make man` does.

use std::{env, fs, io};

use clap::CommandFactory;
use coxswain_cli::arguments::Arguments;

fn main() -> io::Result<()> {
    let folder = env::args_os().nth(1).ok_or_else(|| io::Error::other("give the folder to write to"))?;
    fs::create_dir_all(&folder)?;
    clap_mangen::generate_to(Arguments::command(), folder)
}
