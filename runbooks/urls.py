from django.urls import path

from runbooks import views

app_name = "runbooks"
urlpatterns = [
    path("runbooks/", views.index, name="index"),
    path("runbooks/<slug:slug>/", views.launch, name="launch"),
    path("runs/", views.runs, name="runs"),
    path("runs/<int:pk>/", views.run, name="run"),
    path("runs/<int:pk>/output/", views.output, name="output"),
    path("runs/<int:pk>/output.txt", views.output_text, name="output_text"),
    path("runs/<int:pk>/cancel/", views.cancel, name="cancel"),
    path("runs/<int:pk>/resume/", views.resume, name="resume"),
    path("runs/<int:pk>/give-up/", views.give_up, name="give_up"),
    path("runs/pick/<int:number>/", views.pick, name="pick"),
    path("runs/for-ticket/<int:number>/", views.for_ticket, name="for_ticket"),
]
