//! The command line; the library has the commands.

#![warn(unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand, ValueEnum};
use podberth::{
    api::published::{DOCUMENTS, published},
    app::{
        self,
        archive::{Export, Import},
        migrate::Migrate,
    },
    commands::{autoscale, certs, explain, kubeconfig, place, policy, policy_diff, rbac, replay, sync, test, token},
    config::{self, Failure, Settings},
};

/// A decision over tens of thousands of nodes takes and gives back megabytes, and is four times as quick where these stay mapped.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The Kubernetes scheduler as an HTTP service: where can this pod run, where best, and why?
#[derive(Parser)]
#[command(name = "podberth", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server
    Serve(Box<Settings>),
    /// Show what Podberth does: a small cluster in memory, two decisions, and a server to ask more of
    Demo {
        /// Where to listen
        #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8080")]
        listen: String,
    },
    /// Print the decision for a pod on a cluster, both from files: where it can run, where best, and why
    Explain(explain::Options),
    /// Check policy files, or convert them to what kube-scheduler takes today
    #[command(subcommand)]
    Policy(policy::Command),
    /// Test a policy: place pods of files of scenarios, and compare the outcome with what the files expect
    Test(test::Options),
    /// Ask a server which nodes, replicas and requests there should be
    #[command(subcommand)]
    Autoscale(Box<autoscale::Command>),
    /// Ask a server who should be evicted so that the cluster is better afterwards
    Reschedule(Box<autoscale::Reschedule>),
    /// Ask a server which of its clusters take the replicas of a workload, and why the others do not
    Place(Box<place::Options>),
    /// Have a server make its recorded decisions again, and tell which have another answer
    Replay(Box<replay::Options>),
    /// Bring the database's schema up to date, and end
    Migrate(Box<Migrate>),
    /// Write clusters to a file, from which they can be imported into any database
    Export(Box<Export>),
    /// Read clusters from an export, each whole or not at all
    Import(Box<Import>),
    /// Print the objects of a live cluster, as they would be mirrored
    Sync(Box<sync::Options>),
    /// Make, list and revoke the tokens of a server
    #[command(subcommand)]
    Token(token::Command),
    /// Write or print a kubeconfig, with which kubectl asks a server
    Kubeconfig(Box<kubeconfig::Options>),
    /// Print the rights that a live cluster has to give, as objects for kubectl apply
    #[command(subcommand)]
    Rbac(rbac::Command),
    /// Make certificates to try things out with
    #[command(subcommand)]
    Certs(certs::Command),
    /// Print the OpenAPI document
    Openapi {
        /// The version of OpenAPI
        #[arg(long, value_enum, default_value = "3.0")]
        version: OpenApiVersion,
        /// The file to write in place of standard output
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum OpenApiVersion {
    #[value(name = "3.0")]
    V3_0,
    #[value(name = "3.1")]
    V3_1,
}

fn main() -> ExitCode {
    let cli: Cli = match config::parse(std::env::args_os().map(|word| word.to_string_lossy().into_owned())) {
        Ok(cli) => cli,
        Err(Failure::Show(page)) => page.exit(),
        Err(Failure::Print(text)) => {
            return print(&text).map_or_else(|error| fail(&error.to_string(), 1), |()| ExitCode::SUCCESS);
        }
        Err(Failure::Wrong(line)) => return fail(&line, 2),
    };
    let done = match cli.command {
        Command::Serve(settings) => app::run(app::serve(&settings)),
        Command::Demo { listen } => app::run(app::demo(&Settings::for_demo(listen))),
        Command::Explain(options) => explain::explain(&options).map_err(app::Error::Question).and_then(|said| {
            eprint!("{}", said.warnings);
            print(&said.output)
        }),
        Command::Policy(policy::Command::Diff(options)) => {
            let ran = async { policy_diff::run(&options).await.map_err(app::Error::Question) };
            match app::run_for(ran) {
                Ok(policy_diff::Said { output, remarks, good }) => return say(&policy::Said { output, remarks, good }),
                Err(error) => Err(error),
            }
        }
        Command::Policy(command) => return say(&policy::run(&command)),
        Command::Test(options) => return tell(&test::run(&options)),
        Command::Autoscale(command) => {
            match app::run_for(async { autoscale::run(&command).await.map_err(app::Error::Question) }) {
                Ok(said) => return say(&said),
                Err(error) => Err(error),
            }
        }
        Command::Reschedule(command) => {
            match app::run_for(async { autoscale::reschedule(&command).await.map_err(app::Error::Question) }) {
                Ok(said) => return say(&said),
                Err(error) => Err(error),
            }
        }
        Command::Place(options) => {
            match app::run_for(async { place::run(&options).await.map_err(app::Error::Question) }) {
                Ok(said) => return say(&said),
                Err(error) => Err(error),
            }
        }
        Command::Replay(options) => {
            match app::run_for(async { replay::run(&options).await.map_err(app::Error::Question) }) {
                Ok(said) => return say(&said),
                Err(error) => Err(error),
            }
        }
        Command::Migrate(command) => match app::run_for(app::migrate::migrate(&command)) {
            Ok((output, good)) => return say(&policy::Said { output, remarks: String::new(), good }),
            Err(error) => Err(error),
        },
        Command::Export(command) => app::run(app::archive::export(&command)),
        Command::Import(command) => app::run(app::archive::import(&command)),
        Command::Sync(options) => {
            let ran = async { sync::run(&options, &mut std::io::stdout()).await.map_err(app::Error::Question) };
            app::run_for(ran).map(|remark| eprint!("{remark}"))
        }
        Command::Token(command) => {
            let ran = async { token::run(&command).await.map_err(app::Error::Question) };
            app::run_for(ran).and_then(|said| print(&said))
        }
        Command::Kubeconfig(options) => {
            let ran = async { kubeconfig::run(&options).await.map_err(app::Error::Question) };
            app::run_for(ran).and_then(|said| {
                eprint!("{}", said.remark);
                print(&said.output)
            })
        }
        Command::Certs(command) => certs::run(&command).map_err(app::Error::Question).and_then(|output| print(&output)),
        Command::Rbac(command) => rbac::run(&command).map_err(app::Error::Question).and_then(|output| print(&output)),
        Command::Openapi { version, output } => print_document(version, output),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error.to_string(), 1),
    }
}

/// One line on standard error, whatever happened.
fn fail(message: &str, code: u8) -> ExitCode {
    eprintln!("error: {}", message.lines().map(str::trim).collect::<Vec<_>>().join(" "));
    ExitCode::from(code)
}

/// Prints the results of policy tests.
fn tell(said: &test::Said) -> ExitCode {
    eprint!("{}", said.remarks);
    match print(&said.output) {
        Ok(()) => ExitCode::from(said.code),
        Err(error) => fail(&error.to_string(), 2),
    }
}

/// Prints the output and the remarks of a command.
fn say(said: &policy::Said) -> ExitCode {
    eprint!("{}", said.remarks);
    match print(&said.output) {
        Ok(()) if said.good => ExitCode::SUCCESS,
        Ok(()) => ExitCode::FAILURE,
        Err(error) => fail(&error.to_string(), 1),
    }
}

fn print_document(version: OpenApiVersion, output: Option<PathBuf>) -> Result<(), app::Error> {
    let document = published(match version {
        OpenApiVersion::V3_0 => &DOCUMENTS.v3_0,
        OpenApiVersion::V3_1 => &DOCUMENTS.v3_1,
    });
    match output {
        Some(path) => {
            std::fs::write(&path, document).map_err(|error| app::Error::Output(path.display().to_string(), error))
        }
        None => print(&document),
    }
}

fn print(text: &str) -> Result<(), app::Error> {
    match std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes()) {
        // The reader has enough: `| head`.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        done => done.map_err(|error| app::Error::Output("standard output".into(), error)),
    }
}
