use longhaul::operations_service_client::OperationsServiceClient;
use longhaul::{CreateOperationRequest, WaitOperationRequest};
use prost_types::value::Kind;

mod longhaul {
    tonic::include_proto!("longhaul.v1");
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).ok_or("host:port is missing")?;
    let mut operations = OperationsServiceClient::connect(format!("http://{address}")).await?;
    let request = CreateOperationRequest { operation_type: "greeting".into(), ..Default::default() };
    let created = operations.create_operation(request).await?.into_inner().operation.unwrap_or_default();
    let request =
        WaitOperationRequest { operation_id: created.operation_id, until_done: true, ..Default::default() };
    let done = operations.wait_operation(request).await?.into_inner().operation.unwrap_or_default();
    let summary = done.result_summary.unwrap_or_default();
    if let Some(Kind::StringValue(greeting)) = summary.fields.get("greeting").and_then(|value| value.kind.as_ref()) {
        println!("{greeting}");
    }
    Ok(())
}
