//! Calls a longhaul server as a client of tonic and prints what it saw, one JSON object a step.

mod steps;

use std::time::Duration;

use serde_json::Value;
use steps::longhaul::operations_service_client::OperationsServiceClient;
use tonic::service::Interceptor;
use tonic::transport::{Certificate, Channel, ClientTlsConfig};
use tonic::{Request, Status};

/// Sends a bearer token with every call.
#[derive(Clone)]
pub struct Bearer(Option<String>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            let value = format!("Bearer {token}").parse();
            request
                .metadata_mut()
                .insert("authorization", value.map_err(|_| Status::invalid_argument("token"))?);
        }
        Ok(request)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| given.iter().position(|one| one == name).map(|at| given[at + 1].clone());
    let address = option("--address").ok_or("--address host:port is missing")?;

    let channel = match option("--ca") {
        Some(path) => {
            let trusted = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(std::fs::read(path)?));
            Channel::from_shared(format!("https://{address}"))?.tls_config(trusted)?
        }
        None => Channel::from_shared(format!("http://{address}"))?,
    };
    let channel = channel.connect_timeout(Duration::from_secs(5)).connect().await?;
    let mut api = OperationsServiceClient::with_interceptor(channel, Bearer(option("--token")));

    print("create", steps::create(&mut api).await?);
    print("poll", steps::poll(&mut api).await?);
    print("wait", steps::wait(&mut api).await?);
    print("metrics", steps::metrics(&mut api).await?);
    print("cancel", steps::cancel(&mut api).await?);
    print("not-found", steps::not_found(&mut api).await);
    print("bad-request", steps::bad_request(&mut api).await);
    print("deadline", steps::deadline(&mut api).await?);
    print("list", steps::list(&mut api).await?);
    Ok(())
}

fn print(step: &str, mut facts: Value) {
    facts["step"] = step.into();
    println!("{facts}");
}
