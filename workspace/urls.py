from django.urls import path

from workspace import views, views_reports

app_name = "workspace"
urlpatterns = [
    path("home/", views.home, name="home"),
    path("palette/", views.palette, name="palette"),
    path("reports/", views_reports.index, name="reports"),
    path("reports/<slug:key>/", views_reports.report, name="report"),
    path("reports/<slug:key>/tickets/", views_reports.behind, name="behind"),
    path("reports/<slug:key>/export.csv", views_reports.as_csv, name="report_csv"),
]
