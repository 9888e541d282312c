"""RetrainPolicy: when to retrain which model, how, and how it goes live; which revision is champion."""
