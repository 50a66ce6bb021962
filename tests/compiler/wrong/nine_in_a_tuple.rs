use loopwheel::{gather, run};

async fn number() -> u32 {
    1
}

fn main() {
    run(async {
        let n = number;
        gather((n(), n(), n(), n(), n(), n(), n(), n(), n())).await;
    });
}
