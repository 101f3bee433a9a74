"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "counters",
        sa.Column("name", TEXT, autoincrement=False, nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_counters")),
    )
    op.create_table(
        "experiments",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("owner_id", sa.BigInteger(), nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("config", TEXT, nullable=False),
        sa.Column("original_config", TEXT, nullable=False),
        sa.Column("searcher_type", TEXT, nullable=False),
        sa.Column("metric", TEXT, nullable=False),
        sa.Column("smaller_is_better", sa.Boolean(), nullable=False),
        sa.Column("context", TEXT, nullable=False),
        sa.Column("job_id", TEXT, nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("description", TEXT, nullable=False),
        sa.Column("labels", TEXT, nullable=False),
        sa.Column("notes", TEXT, nullable=False),
        sa.Column("archived", sa.Boolean(), nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.Column("progress", sa.Double(), nullable=True),
        sa.Column("resource_pool", TEXT, nullable=False),
        sa.Column("project_id", sa.BigInteger(), nullable=False),
        sa.Column("forked_from", sa.BigInteger(), nullable=True),
        sa.Column("client_key", TEXT, nullable=True),
        sa.Column("submission", TEXT, nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("num_trials", sa.BigInteger(), nullable=False),
        sa.Column("best_trial_id", sa.BigInteger(), nullable=True),
        sa.Column("best_metric", sa.Double(), nullable=True),
        sa.Column("checkpoint_count", sa.BigInteger(), nullable=False),
        sa.Column("checkpoint_size", sa.BigInteger(), nullable=False),
        sa.Column("message", TEXT, nullable=False),
        sa.Column("warm_start", TEXT, nullable=True),
        sa.Column("uncollected", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_experiments")),
        sa.UniqueConstraint("owner_id", "client_key", name=op.f("uq_experiments_owner_id_client_key")),
    )
    op.create_index(op.f("ix_experiments_state"), "experiments", ["state"], unique=False)
    op.create_index(op.f("ix_experiments_uncollected"), "experiments", ["uncollected"], unique=False)
    op.create_table(
        "meta",
        sa.Column("key", TEXT, autoincrement=False, nullable=False),
        sa.Column("value", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_meta")),
    )
    op.create_table(
        "tokens",
        sa.Column("digest", TEXT, autoincrement=False, nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_tokens")),
    )
    op.create_table(
        "users",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("username", TEXT, nullable=False),
        sa.Column("password_hash", TEXT, nullable=False),
        sa.Column("admin", sa.Boolean(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("display_name", TEXT, nullable=False),
        sa.Column("remote", sa.Boolean(), nullable=False),
        sa.Column("modified_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("username", name=op.f("uq_users_username")),
    )
    op.create_table(
        "batches",
        sa.Column("experiment_id", sa.BigInteger(), nullable=False),
        sa.Column("trigger", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("experiment_id", "trigger", name=op.f("pk_batches")),
        sa.ForeignKeyConstraint(["experiment_id"], ["experiments.id"], name=op.f("fk_batches_experiment_id")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "events",
        sa.Column("experiment_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("experiment_id", "id", name=op.f("pk_events")),
        sa.ForeignKeyConstraint(["experiment_id"], ["experiments.id"], name=op.f("fk_events_experiment_id")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "journal",
        sa.Column("experiment_id", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("format", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("experiment_id", "seq", name=op.f("pk_journal")),
        sa.ForeignKeyConstraint(["experiment_id"], ["experiments.id"], name=op.f("fk_journal_experiment_id")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "parts",
        sa.Column("experiment_id", sa.BigInteger(), nullable=False),
        sa.Column("part", TEXT, autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("experiment_id", "part", name=op.f("pk_parts")),
        sa.ForeignKeyConstraint(["experiment_id"], ["experiments.id"], name=op.f("fk_parts_experiment_id")),
    )
    op.create_table(
        "trials",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("experiment_id", sa.BigInteger(), nullable=False),
        sa.Column("request_id", TEXT, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("hparams", TEXT, nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("phase", TEXT, nullable=True),
        sa.Column("restarts", sa.BigInteger(), nullable=False),
        sa.Column("closed", sa.Boolean(), nullable=False),
        sa.Column("runner_state", TEXT, nullable=False),
        sa.Column("warm_start", TEXT, nullable=True),
        sa.Column("total_batches", sa.BigInteger(), nullable=False),
        sa.Column("units", sa.Double(), nullable=False),
        sa.Column("best_validation", sa.BigInteger(), nullable=True),
        sa.Column("best_metric", sa.Double(), nullable=True),
        sa.Column("latest_validation", sa.BigInteger(), nullable=True),
        sa.Column("latest_metric", sa.Double(), nullable=True),
        sa.Column("checkpoint_count", sa.BigInteger(), nullable=False),
        sa.Column("checkpoint_size", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_trials")),
        sa.UniqueConstraint("experiment_id", "request_id", name=op.f("uq_trials_experiment_id_request_id")),
        sa.ForeignKeyConstraint(["experiment_id"], ["experiments.id"], name=op.f("fk_trials_experiment_id")),
    )
    op.create_index(
        op.f("ix_trials_experiment_id_best_metric"), "trials", ["experiment_id", "best_metric"], unique=False
    )
    op.create_index(op.f("ix_trials_experiment_id_id"), "trials", ["experiment_id", "id"], unique=False)
    op.create_index(op.f("ix_trials_warm_start"), "trials", ["warm_start"], unique=False)
    op.create_table(
        "checkpoints",
        sa.Column("uuid", TEXT, autoincrement=False, nullable=False),
        sa.Column("experiment_id", sa.BigInteger(), nullable=False),
        sa.Column("trial_id", sa.BigInteger(), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("task_id", TEXT, nullable=False),
        sa.Column("allocation_id", TEXT, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("steps", sa.BigInteger(), nullable=False),
        sa.Column("reported_at", sa.Double(), nullable=False),
        sa.Column("resources", TEXT, nullable=False),
        sa.Column("metadata", TEXT, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_checkpoints")),
        sa.ForeignKeyConstraint(["trial_id"], ["trials.id"], name=op.f("fk_checkpoints_trial_id")),
    )
    op.create_index(
        op.f("ix_checkpoints_experiment_id_trial_id"), "checkpoints", ["experiment_id", "trial_id"], unique=False
    )
    op.create_index(op.f("ix_checkpoints_trial_id_steps"), "checkpoints", ["trial_id", "steps"], unique=False)
    op.create_table(
        "logs",
        sa.Column("trial_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("allocation_id", TEXT, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("text", TEXT, nullable=False),
        sa.Column("level", TEXT, nullable=False),
        sa.Column("rank", sa.BigInteger(), nullable=True),
        sa.Column("stdtype", TEXT, nullable=False),
        sa.Column("source", TEXT, nullable=False),
        sa.Column("agent_id", TEXT, nullable=False),
        sa.Column("container_id", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("trial_id", "id", name=op.f("pk_logs")),
        sa.ForeignKeyConstraint(["trial_id"], ["trials.id"], name=op.f("fk_logs_trial_id")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "metrics",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("experiment_id", sa.BigInteger(), nullable=False),
        sa.Column("trial_id", sa.BigInteger(), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("group", TEXT, nullable=False),
        sa.Column("steps", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("metrics", TEXT, nullable=False),
        sa.Column("batch_metrics", TEXT, nullable=False),
        sa.Column("has_searcher_metric", sa.Boolean(), nullable=False),
        sa.Column("searcher_metric", sa.Double(), nullable=True),
        sa.Column("archived", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_metrics")),
        sa.UniqueConstraint(
            "trial_id", "group", "steps", "run_id", name=op.f("uq_metrics_trial_id_group_steps_run_id")
        ),
        sa.ForeignKeyConstraint(["trial_id"], ["trials.id"], name=op.f("fk_metrics_trial_id")),
    )
    op.create_index(op.f("ix_metrics_trial_id_id"), "metrics", ["trial_id", "id"], unique=False)
    op.create_table(
        "runs",
        sa.Column("allocation_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("experiment_id", sa.BigInteger(), nullable=False),
        sa.Column("trial_id", sa.BigInteger(), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("agent", TEXT, nullable=False),
        sa.Column("slot_ids", TEXT, nullable=False),
        sa.Column("granted_at", sa.Double(), nullable=False),
        sa.Column("seen_at", sa.Double(), nullable=True),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.Column("code", sa.BigInteger(), nullable=True),
        sa.Column("reason", TEXT, nullable=False),
        sa.Column("lines", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("allocation_id", name=op.f("pk_runs")),
        sa.ForeignKeyConstraint(["trial_id"], ["trials.id"], name=op.f("fk_runs_trial_id")),
    )
    op.create_index(op.f("ix_runs_trial_id_run_id"), "runs", ["trial_id", "run_id"], unique=False)


def downgrade() -> None:
    for table in [
        "runs",
        "metrics",
        "logs",
        "checkpoints",
        "trials",
        "parts",
        "journal",
        "events",
        "batches",
        "users",
        "tokens",
        "meta",
        "experiments",
        "counters",
    ]:
        op.drop_table(table)
