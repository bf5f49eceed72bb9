//! Embeds the migrations. `sqlx::migrate!` does that too, at the price of building sqlx with both its databases a second time,
//! for the compiler.

use std::{env, error::Error, fmt::Write, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=../../migrations");
    let mut code = String::new();
    for (engine, constant) in [("postgres", "OF_POSTGRES"), ("sqlite", "OF_SQLITE")] {
        let folder = Path::new("../../migrations").join(engine).canonicalize()?;
        let files = fs::read_dir(&folder)?.map(|file| Ok(file?.path())).collect::<Result<Vec<_>, Box<dyn Error>>>()?;
        let mut rows = Vec::new();
        for path in files {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            let numbered = name.split_once('_').and_then(|(number, name)| Some((number.parse::<i64>().ok()?, name)));
            let (version, name) =
                numbered.ok_or_else(|| format!("{}: expected a name such as 0005_lists.sql", path.display()))?;
            rows.push((version, name.replace('_', " "), path));
        }
        rows.sort();
        if let Some(twice) = rows.array_windows().find_map(|[a, b]| (a.0 == b.0).then_some(a.0)) {
            return Err(format!("{}: two migrations have the number {twice}", folder.display()).into());
        }
        writeln!(code, "const {constant}: &[Embedded] = &[")?;
        for (version, description, path) in rows {
            writeln!(code, "    ({version}, {description:?}, include_str!({:?})),", path.to_string_lossy())?;
        }
        code += "];\n";
    }
    fs::write(Path::new(&env::var("OUT_DIR")?).join("migrations.rs"), code)?;
    Ok(())
}
