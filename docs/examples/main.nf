// nextflow run main.nf --bids /data/bids --out /data/bids/derivatives/qsmengine --options '--preset fast'
// One job per participant, then the table and page of the cohort. A repeated job skips finished steps.
params.options = ''

process participant {
    cpus 2
    memory '8 GB'
    input: val subject
    output: val subject
    script: """
    qsmengine-bids '$params.bids' '$params.out' participant --participant-label $subject \
      --nprocs 0 --omp-nthreads $task.cpus --mem ${task.memory.toMega()} $params.options
    """
}

process group {
    input: val subjects
    script: "qsmengine-bids '$params.bids' '$params.out' group"
}

workflow {
    Channel.fromPath("$params.bids/sub-*", type: 'dir').map { it.name - 'sub-' } | participant | collect | group
}
