use loopwheel::{create_task, gather, run};

async fn shout(word: &str) -> String {
    word.to_uppercase()
}

fn main() {
    run(async {
        let word = String::from("hello");
        create_task(shout(&word)).await.unwrap();
        gather([shout(&word)]).await;
    });
}
